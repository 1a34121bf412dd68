"""Files of weights, whatever their format, told by their content rather than by their name."""

import os

import numpy as np

from keras_resnet.files import is_remote
from keras_resnet.weights.hdf5 import read_hdf5
from keras_resnet.weights.published import HUB_FILE
from keras_resnet.weights.tensors import read_metadata, read_tensors
from keras_resnet.weights.tf_checkpoint import read_tf_checkpoint
from keras_resnet.weights.torch_files import read_torch_file

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_weights(path: str, torch_allowed: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads (tensors by their own names, strings that are kept with them).

    Args:
        path: safetensors, HDF5, the beginning of a TensorFlow checkpoint's names, or a folder with model.safetensors.
        torch_allowed: read PyTorch's own files too, in a child process.

    Raises:
        ValueError: it cannot be read, or reading it could run code; the message names it.
    """
    path = os.fspath(path)
    if os.path.isfile(path.removesuffix(".index") + ".index"):
        return read_tf_checkpoint(path.removesuffix(".index")), {}
    if os.path.isdir(path):
        if not os.path.isfile(os.path.join(path, HUB_FILE)):
            kind = "a SavedModel is a program" if "saved_model.pb" in os.listdir(path) else f"it holds no {HUB_FILE}"
            raise ValueError(f"{path}: is a folder, not a file of weights ({kind})")
        path = os.path.join(path, HUB_FILE)
    if not is_remote(path):
        kind = _format(path)
        if kind == "HDF5":
            return read_hdf5(path), {}
        if kind == "torch" and torch_allowed:
            return read_torch_file(path), {}
        if kind:
            raise ValueError(f"{path}: {_REFUSED[kind]}")
    return read_tensors(path), read_metadata(path)


_REFUSED = {
    "torch": "is PyTorch's own format, which can run code; convert it once: "
    "python -m keras_resnet convert-weights FILE TARGET.safetensors",
    "archive": "is an archive; of .keras and .npz files nothing is loaded here, because they can run code or swell in "
    'memory. Save its weights: model.save_weights("FILE.weights.h5")',
}


def is_safetensors(path: str) -> bool:
    """Whether a file is neither HDF5 nor PyTorch's nor an archive."""
    return is_remote(path) or not _format(path)


def _format(path):
    """ "HDF5", "torch" or "archive" by a file's first bytes, else "" for safetensors."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if start.startswith(_HDF5):
        return "HDF5"
    if start.startswith(
        _ZIP
    ):  # a zip's first member tells a torch file: "<name>/data.pkl", or now "<name>/.format_version"
        return "torch" if b"data.pkl" in start or b".format_version" in start or b".data/" in start else "archive"
    return "torch" if start.startswith(_PICKLES) else ""
