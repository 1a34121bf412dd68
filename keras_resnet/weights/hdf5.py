"""Arrays of HDF5 files, as Keras writes weights: nothing is followed out of the file, nothing outgrows it.

HDF5 files can name other files, share data, nest without end and declare arrays that hardly take room on a disk
(CVE-2026-1669 and its kin): here all of that is refused before anything is read.
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
    """Reads weights that Keras wrote, ".h5" or ".weights.h5": {"<layer>/<variable>": array}; nested: whole paths.

    Raises:
        ValueError: it is no HDF5 file, or one that reaches out of itself; the message names the file.
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
    """[(names on the way, dataset)] of all arrays of numbers."""
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
    """The layer and the variable, from a place in Keras's layouts."""
    if parts[-2:-1] == ("vars",):  # Keras 3: <anything>/<class and number>/vars/0, the layer's name as an attribute
        group = file["/".join(parts[:-1])]
        layer = group.attrs.get("name", parts[-3])
        variables = _NORMALIZATION if len(group) == len(_NORMALIZATION) else ("kernel", "bias")
        number = int(parts[-1]) if parts[-1].isdecimal() else len(variables)
        return f"{layer}/{variables[number] if number < len(variables) else parts[-1]}"
    parts = parts[1:] if parts[0] == "model_weights" else parts  # of a whole model, from which only weights are taken
    variable = parts[-1].partition(":")[0]
    if len(parts) == 3:  # the first is the layer too, or the model that it is a part of
        return f"{parts[1]}/{variable}"
    return "/".join((*parts[:-1], variable))
