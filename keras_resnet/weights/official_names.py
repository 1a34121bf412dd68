"""Tensors of tf-models-official's classification checkpoints: "model/layer_with_weights-0/..." by order of layers."""

import re

import numpy as np

Arrays = dict[str, np.ndarray]

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_BACKBONE = re.compile(r"model/layer_with_weights-0/layer_with_weights-(\d{1,3})/(?:(_\w+)/)?(\w+)")
# Not "_shortcut1": before it, official averages where the stride is 1 too, which is no ResNet-D.
_LAYERS = {"_shortcut": "proj", "_norm0": "proj_bn"}
_LAYERS |= {f"_{theirs}{i}": f"{ours}{i}" for theirs, ours in (("conv", "conv"), ("norm", "bn")) for i in (1, 2, 3)}


def matches(names: set[str]) -> bool:
    """Whether tensors are named so."""
    return any(_BACKBONE.match(name) for name in names)


def rename(arrays: Arrays) -> Arrays:
    """{their key: tensor} -> {our path: array}, without what is not the network's (optimizer, counters).

    A block with a projection opens a stage; those that follow in the order of their numbers are of the same stage.

    Raises:
        ValueError: the network has a layer that is none of this family's.
    """
    found = {}
    for key in arrays:
        if not key.startswith("model/layer_with_weights-0/") or ".OPTIMIZER_SLOT" in key:
            continue
        name = key.removesuffix(_SUFFIX)
        match = _BACKBONE.fullmatch(name)
        if not match or match[2] not in (None, *_LAYERS):
            raise ValueError(f"{name} is of no layer that this package's networks have")
        found[key] = int(match[1]), match[2], match[3]
    opening = sorted({number for number, layer, _ in found.values() if layer == "_shortcut"})
    stem = sorted({number for number, layer, _ in found.values() if layer is None})
    renamed = {}
    for key, (number, layer, variable) in found.items():
        if layer is None:
            kind, place = ("conv", "bn")[stem.index(number) % 2], stem.index(number) // 2 + 1
            renamed[f"stem_{kind}{place if len(stem) > 2 else ''}/{variable}"] = arrays[key]
        else:
            stage = sum(other <= number for other in opening)
            block = number - max((other for other in opening if other <= number), default=number) + 1
            renamed[f"stage{stage}_block{block}_{_LAYERS[layer]}/{variable}"] = arrays[key]
    for variable in ("kernel", "bias"):
        key = f"model/layer_with_weights-1/{variable}{_SUFFIX}"
        if key in arrays:
            renamed[f"logits/{variable}"] = arrays[key]
    return renamed
