"""Renames tensors of transformers' ResNets ("encoder.stages.0.layers.0.layer.0.convolution.weight"), via Torch's."""

import re

import numpy as np

from keras_resnet.weights import torch_names

Arrays = dict[str, np.ndarray]

_PARTS = {
    f"layer.{i}.{their}": f"{ours}{i + 1}"
    for i in (0, 1, 2)
    for their, ours in (("convolution", "conv"), ("normalization", "bn"))
}
_PARTS |= {"shortcut.convolution": "downsample.0", "shortcut.normalization": "downsample.1"}
_WHOLE = {
    "embedder.embedder.convolution": "conv1",
    "embedder.embedder.normalization": "bn1",
    "fc": "fc",
    "classifier.1": "fc",
}


def matches(names: set[str]) -> bool:
    """Returns whether the names are those of transformers' ResNets."""
    return "encoder.stages.0.layers.0.layer.0.convolution.weight" in names


def rename(arrays: Arrays) -> Arrays:
    """Renames {name: tensor} to this package's paths and layout, without the batch counters.

    Raises:
        ValueError: a name is not one of transformers' ResNets.
    """
    return torch_names.rename(torch_names.distinct((_to_torch(name), value) for name, value in arrays.items()))


def _to_torch(name):
    layer, _, kind = name.rpartition(".")
    if layer in _WHOLE:
        return f"{_WHOLE[layer]}.{kind}"
    found = re.fullmatch(r"encoder\.stages\.([0-9])\.layers\.(\d{1,3})\.(.+)", layer)
    if not found or found[3] not in _PARTS:
        raise ValueError(f"{name}: is the name of no tensor of transformers' ResNets")
    return f"layer{int(found[1]) + 1}.{found[2]}.{_PARTS[found[3]]}.{kind}"
