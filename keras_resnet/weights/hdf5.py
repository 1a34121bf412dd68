"""Reads arrays from the HDF5 files that Keras writes, without following links to other files.

HDF5 files can refer to other files, share data, nest without limit, and declare arrays far larger than the file
(CVE-2026-1669 and similar). This module rejects such files before it reads any array.
"""

import os

import h5py
import numpy as np

_MOST_OBJECTS = 50_000  # ResNet-1202 has 14,000 in Keras's layout
_DEEPEST = 16
_MOST_EXPANSION = 8  # bytes in memory per byte of the file; compressed weights have 1.1
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_NORMALIZATION = ("gamma", "beta", "moving_mean", "moving_variance")


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
