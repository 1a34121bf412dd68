"""Reads weights files of all supported formats. The content of a file, not its name, determines the format."""

import os
import re

import numpy as np

from keras_resnet.files import is_remote
from keras_resnet.weights.hdf5 import read_hdf5
from keras_resnet.weights.published import HUB_FILE, HUB_INDEX
from keras_resnet.weights.shards import ENDING, read_shards
from keras_resnet.weights.tensors import read_metadata, read_tensors
from keras_resnet.weights.tf_checkpoint import read_tf_checkpoint
from keras_resnet.weights.torch_files import read_torch_file

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_CHECKPOINT_FILES = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def read_weights(path: str, torch_allowed: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns (tensors by their original names, metadata strings) of a weights file.

    Args:
        path: safetensors, the index of several safetensors files, HDF5, a TensorFlow checkpoint prefix, or a folder
            with model.safetensors or its index.
        torch_allowed: also read PyTorch files, in a child process.

    Raises:
        ValueError: the file cannot be read, or reading it could run code; the message names the file.
    """
    path = os.fspath(path)
    prefix = _CHECKPOINT_FILES.sub("", path)
    if os.path.isfile(f"{prefix}.index"):
        return read_tf_checkpoint(prefix), {}
    if os.path.isdir(path):
        path = _in_folder(path)
    if not is_remote(path):
        kind = _format(path)
        if kind == "HDF5":
            return read_hdf5(path), {}
        if kind == "shards":
            return read_shards(path), {}
        if kind == "torch" and torch_allowed:
            return read_torch_file(path), {}
        if kind:
            raise ValueError(f"{path}: {_REFUSED[kind]}")
    return read_tensors(path), read_metadata(path)


_REFUSED = {
    "torch": "is PyTorch's own format, which can run code; convert it once: "
    "keras-resnet convert-weights FILE TARGET.safetensors",
    "archive": "is an archive; of .keras and .npz files nothing is loaded here, because they can run code or swell in "
    'memory. Save its weights: model.save_weights("FILE.weights.h5")',
    "empty": "is empty; download or save it again",
    "lfs": "is a Git LFS pointer, not the weights it points to; fetch them with: git lfs pull",
    "html": "is an HTML page, not weights; a download probably saved an error or a login page",
    "gzip": "is compressed with gzip; unpack it first",
}


def is_safetensors(path: str) -> bool:
    """Returns whether the first bytes of a file match none of the other formats."""
    return is_remote(path) or not _format(path)


def _in_folder(path):
    """Returns the weights file in a folder of the Hugging Face Hub."""
    names = os.listdir(path)
    for name in (HUB_FILE, HUB_INDEX):
        if name in names:
            return os.path.join(path, name)
    kind = f"it holds no {HUB_FILE}"
    if "saved_model.pb" in names:
        kind = "a SavedModel is a program"
    elif ".metadata" in names:
        kind = "it is a torch.distributed.checkpoint; convert it with torch.distributed.checkpoint.format_utils"
    elif found := [name for name in sorted(names) if name.endswith((".bin", ".pth", ".pt", ".ckpt"))]:
        file = os.path.join(path, found[0])
        kind = f"convert {found[0]}: keras-resnet convert-weights {file} TARGET.safetensors"
    raise ValueError(f"{path}: is a folder, not a file of weights ({kind})")


def _format(path):
    """Returns the format of a file's first bytes: "HDF5", "shards" or a key of `_REFUSED`, else "" for safetensors."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if start.startswith(_HDF5):
        return "HDF5"
    if start.startswith(
        _ZIP
    ):  # a Torch file's first member is "<name>/data.pkl", or in newer files "<name>/.format_version"
        return "torch" if b"data.pkl" in start or b".format_version" in start or b".data/" in start else "archive"
    if start.startswith(_PICKLES):
        return "torch"
    return _no_weights(start, path)


def _no_weights(start, path):
    """Returns a key of `_REFUSED` for common content that is not weights, "shards", or "" for possible safetensors."""
    text = start.lstrip().lower()
    if not start:
        return "empty"
    if text.startswith(b"version https://git-lfs"):
        return "lfs"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "html"
    if text.startswith(b"{") and (path.endswith(ENDING) or b'"weight_map"' in text):
        return "shards"
    return "gzip" if start.startswith(b"\x1f\x8b") else ""
