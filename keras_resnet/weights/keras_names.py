"""Renames tensors of keras.applications ("conv2_block1_1_conv/kernel") and of tf2cv's networks for CIFAR (HDF5)."""

import re

import numpy as np

Arrays = dict[str, np.ndarray]

_WHOLE = {"conv1_conv": "stem_conv", "conv1_bn": "stem_bn", "post_bn": "last_bn", "predictions": "logits"}
_PARTS = {"0_conv": "proj", "0_bn": "proj_bn", "preact_bn": "preact_bn"}
_PARTS |= {f"{i}_{kind}": f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "bn")}


def matches(names: set[str]) -> bool:
    """Returns whether the names are those of keras.applications' ResNets."""
    return "conv2_block1_1_conv/kernel" in names


def rename(arrays: Arrays) -> Arrays:
    """Renames {name: tensor} to this package's paths: conv2_block1_0_conv becomes stage1_block1_proj.

    Raises:
        ValueError: a name is not one of keras.applications' ResNets.
    """
    return {_to_ours(name): value for name, value in arrays.items()}


def _to_ours(name):
    layer, _, variable = name.partition("/")
    if layer in _WHOLE:
        return f"{_WHOLE[layer]}/{variable}"
    found = re.fullmatch(r"conv([2-5])_block(\d{1,2})_(.+)", layer)
    if not found or found[3] not in _PARTS:
        raise ValueError(f"{name}: is the name of no tensor of keras.applications' ResNets")
    return f"stage{int(found[1]) - 1}_block{found[2]}_{_PARTS[found[3]]}/{variable}"


def matches_tf2cv(names: set[str]) -> bool:
    """Returns whether the names are those of tf2cv's ResNets."""
    return any("/unit1/body/conv1/" in name for name in names)


def rename_tf2cv(arrays: Arrays) -> Arrays:
    """Renames {name: tensor} to this package's paths: stage1/unit2/body/conv1/conv/conv becomes stage1_block2_conv1.

    Raises:
        ValueError: a name is not one of tf2cv's ResNets for CIFAR.
    """
    return {_tf2cv_to_ours(name): value for name, value in arrays.items()}


def _tf2cv_to_ours(name):
    *_, variable = name.split("/")
    if "output1/" in name:
        return f"logits/{variable}"
    kind = "bn" if "/bn/" in name else "conv"
    if "/init_block/" in name:
        return f"stem_{kind}/{variable}"
    found = re.search(r"/stage(\d)/unit(\d{1,3})/(?:body/conv(\d)|identity_conv)/", name)
    if not found:
        raise ValueError(f"{name}: is the name of no tensor of tf2cv's ResNets for CIFAR")
    stage, block, number = found.groups()
    part = f"{kind}{number}" if number else "proj" if kind == "conv" else "proj_bn"
    return f"stage{stage}_block{block}_{part}/{variable}"
