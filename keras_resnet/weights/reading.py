"""Reads arrays from the HDF5 files that Keras writes, without following links to other files.

HDF5 files can refer to other files, share data, nest without limit, and declare arrays far larger than the file
(CVE-2026-1669 and similar). This module rejects such files before it reads any array.
"""

import json
import os
import re

import h5py
import numpy as np

from keras_resnet.files import is_remote
from keras_resnet.weights.pickle_files import read_pickle_file
from keras_resnet.weights.published import HUB_FILE, HUB_INDEX
from keras_resnet.weights.tensors import read_metadata, read_tensors
from keras_resnet.weights.tf_checkpoint import read_tf_checkpoint
from keras_resnet.weights.torch_files import read_torch_file

_MOST_OBJECTS = 50_000  # ResNet-1202 has 14,000 in Keras's layout
_DEEPEST = 16
_MOST_EXPANSION = 8  # bytes in memory per byte of the file; compressed weights have 1.1
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")

ENDING = ".index.json"
_LARGEST = 16 * 2**20  # bytes of an index
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_IMAGES = (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1", b"\xff\xd8\xff\xdb", b"\x89PNG\r\n\x1a\n")
_CHECKPOINT_FILES = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_REFUSED = {
    "torch": "is PyTorch's own format, which can run code; convert it once: "
    "keras-resnet convert-weights FILE TARGET.safetensors",
    "archive": "is an archive; .keras and .npz files are not loaded here, because they can run code or expand in "
    'memory. Save its weights: model.save_weights("FILE.weights.h5")',
    "empty": "is empty; download or save it again",
    "lfs": "is a Git LFS pointer, not the weights it points to; fetch them with: git lfs pull",
    "html": "is an HTML page, not weights; a download probably saved an error or a login page",
    "image": "is an image, not weights",
    "gzip": "is compressed with gzip; unpack it first",
}


def read_hdf5(path: str) -> dict[str, np.ndarray]:
    """Reads weights that Keras wrote to ".h5" or ".weights.h5", as {"<layer>/<variable>": array}.

    Names of variables in deeper groups are whole paths.

    Raises:
        ValueError: the file is not HDF5, or it is unsafe to read; the message names the file.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            found = _datasets(file, path)
            declared = sum(dataset.size * dataset.dtype.itemsize for _, dataset in found)
            if declared > _MOST_EXPANSION * os.path.getsize(path) + 2**20:
                raise ValueError(
                    f"{path}: declares {declared:,} bytes of arrays in a file of {os.path.getsize(path):,}"
                )
            arrays: dict[str, np.ndarray] = {}
            for parts, dataset in found:
                name = _name(file, parts, dataset)
                if name in arrays:
                    raise ValueError(f"{path}: holds two arrays for {name}")
                arrays[name] = dataset[()]
            return arrays
    except (OSError, RuntimeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path}: not a complete HDF5 file ({' '.join(str(error).split())})") from None


def _datasets(file, path):
    """Returns [(names along the path, dataset)] of all floating-point arrays but the optimizer's."""
    found: list[tuple[tuple[str, ...], h5py.Dataset]] = []
    waiting: list[tuple[tuple[str, ...], h5py.Group]] = [((), file)]
    seen = {h5py.h5o.get_info(file.id).addr}
    while waiting:
        parts, group = waiting.pop()
        for name in group:
            where = "/".join((*parts, name))
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{path}: {where} is a link to somewhere else, which is never followed")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or len(seen) > _MOST_OBJECTS or len(parts) > _DEEPEST:
                raise ValueError(f"{path}: {where} is nested or shared in a way that no file of weights is")
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(((*parts, name), item))
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, where, path)
                if item.dtype.kind == "f" and parts[:1] != ("optimizer_weights",) and parts[:1] != ("optimizer",):
                    found.append(((*parts, name), item))
    return found


def _check_dataset(dataset, where, path):
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{path}: {where} keeps its numbers in another file, which is never opened")
    if filters - _FILTERS:
        raise ValueError(f"{path}: {where} is compressed in a way that needs a plug-in")


def _name(file, parts, dataset):
    """Returns "<layer>/<variable>" for a dataset's path in Keras's layouts."""
    if parts[-2:-1] == ("vars",):  # Keras 3: <anything>/<class and number>/vars/0; the layer's name is an attribute
        group = file["/".join(parts[:-1])]
        layer = group.attrs.get("name", parts[-3])
        variables = _NORMALIZATION if len(group) == len(_NORMALIZATION) else ("kernel", "bias")
        number = int(parts[-1]) if parts[-1].isdecimal() else len(variables)
        return f"{layer}/{variables[number] if number < len(variables) else parts[-1]}"
    parts = parts[1:] if parts[0] == "model_weights" else parts  # a whole model; only its weights are read
    variable = parts[-1].partition(":")[0]
    if len(parts) == 3:  # the first is the layer again, or the model that contains it
        return f"{parts[1]}/{variable}"
    return "/".join((*parts[:-1], variable))


def read_shards(index: str) -> dict[str, np.ndarray]:
    """Reads the tensors of all files that an index names.

    Raises:
        ValueError: the file is not an index, or a file or a tensor is missing; the message names it.
    """
    file_of = _file_of(index)
    tensors: dict[str, np.ndarray] = {}
    for name in sorted({*file_of.values()}):
        path = os.path.join(os.path.dirname(index), name)
        if not os.path.isfile(path):
            raise ValueError(f"{index}: {name} is not beside it; all files of the weights are needed")
        tensors |= {tensor: value for tensor, value in read_tensors(path).items() if file_of.get(tensor) == name}
    if missing := sorted(file_of.keys() - tensors.keys()):
        raise ValueError(f"{index}: {missing[0]} is not in {file_of[missing[0]]}, where it should be")
    return tensors


def files_of(index: str) -> list[str]:
    """Returns the names of the files in an index; raises errors like `read_shards`."""
    return sorted({*_file_of(index).values()})


def _file_of(index):
    """Returns {tensor: name of its file}."""
    try:
        with open(index, "rb") as file:
            content = file.read(_LARGEST + 1)
        file_of = json.loads(content if len(content) <= _LARGEST else "")["weight_map"]
        names = {*file_of.values()}
    except OSError as error:
        raise ValueError(f"{index}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f'{index}: is no index of weights; expected {{"weight_map": {{TENSOR: FILE}}}}') from None
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*", name):  # rejects paths outside the folder
            raise ValueError(f"{index}: {name!r} is no name of a file beside it")
        if not name.endswith(".safetensors"):
            raise ValueError(f"{index}: {name} is not safetensors; save the weights with safe_serialization=True")
    return file_of


def read_weights(path: str, torch_allowed: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns (tensors by their original names, metadata strings) of a weights file.

    Args:
        path: safetensors, the index of several safetensors files, HDF5, a TensorFlow checkpoint prefix, or a folder
            with model.safetensors or its index.
        torch_allowed: also read PyTorch files, and .pkl files of Detectron2, in a child process.

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
            return read_pickle_file(path) if path.endswith(".pkl") else read_torch_file(path), {}
        if kind:
            raise ValueError(f"{path}: {_REFUSED[kind]}")
    return read_tensors(path), read_metadata(path)


def is_safetensors(path: str) -> bool:
    """Returns whether the first bytes of a file match none of the other formats."""
    return is_remote(path) or not _format(path)


def is_torch(path: str) -> bool:
    """Returns whether the first bytes of a file are those of a PyTorch file."""
    return not is_remote(path) and os.path.isfile(path) and _format(path) == "torch"


def _in_folder(path):
    """Returns the weights file in a folder of the Hugging Face Hub."""
    names = os.listdir(path)
    for name in (HUB_FILE, HUB_INDEX):
        if name in names:
            return os.path.join(path, name)
    kind = f"it contains no {HUB_FILE}"
    best = os.path.join(path, "weights", "best.safetensors")
    if os.path.isfile(best):
        kind = f"it is a run; its best weights are {best}"
    elif "saved_model.pb" in names:
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
    if start.startswith(_IMAGES):
        return "image"
    if text.startswith(b"version https://git-lfs"):
        return "lfs"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "html"
    if text.startswith(b"{") and (path.endswith(ENDING) or b'"weight_map"' in text):
        return "shards"
    return "gzip" if start.startswith(b"\x1f\x8b") else ""
