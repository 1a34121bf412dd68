"""Renames tensors of tf-models-official's classification checkpoints, which number their layers in order.

Their names start with "model/layer_with_weights-0/".
"""

import re

import numpy as np

Arrays = dict[str, np.ndarray]

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_BACKBONE = re.compile(r"model/layer_with_weights-0/layer_with_weights-(\d{1,3})/(?:(_\w+)/)?(\w+)")
# "_shortcut1" is not supported: its average pooling also runs at stride 1, unlike that of ResNet-D.
_LAYERS = {"_shortcut": "proj", "_norm0": "proj_bn"}
_LAYERS |= {f"_{theirs}{i}": f"{ours}{i}" for theirs, ours in (("conv", "conv"), ("norm", "bn")) for i in (1, 2, 3)}


def matches(names: set[str]) -> bool:
    """Returns whether the names are those of tf-models-official's checkpoints."""
    return any(_BACKBONE.match(name) for name in names)


def rename(arrays: Arrays) -> Arrays:
    """Renames {key: tensor} to this package's paths, and omits other objects (optimizer, counters).

    A block with a projection is the first of a stage; the blocks with the next numbers belong to the same stage.

    Raises:
        ValueError: this package's networks have no layer for a tensor.
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
