"""Renames torchvision's and timm's tensors: "layer1.0.conv1.weight", or "stages.0.blocks.0" if pre-activated.

Their kernels have the layout OIHW. One table serves both directions: `rename` for reading a file, and `renamed_for` for
writing one that the libraries load with their strict option.
"""

import re

import numpy as np

from keras_resnet.description import Preprocessing
from keras_resnet.specs import Spec

Arrays = dict[str, np.ndarray]

# {their layer: this package's}. If several layers have the same value, the last one is used for writing.
_STEM = {"conv1": "stem_conv", "bn1": "stem_bn"}
_DEEP_STEM = {f"conv1.{i}": name for i, name in enumerate(("conv1", "bn1", "", "conv2", "bn2", "", "conv3")) if name}
_DEEP_STEM = {their: f"stem_{ours}" for their, ours in _DEEP_STEM.items()} | {"bn1": "stem_bn3"}
_PRE_STEM = {"stem.conv": "stem_conv", "norm": "last_bn"}
_PRE_STEM |= {
    f"stem.{kind}{i}": f"stem_{ours}{i}" for kind, ours in (("conv", "conv"), ("norm", "bn")) for i in (1, 2, 3)
}
_HEADS = {"linear": "logits", "fc": "logits"}
_PRE_HEAD = {"head.fc": "logits"}

_BLOCK = {f"{kind}{i}": f"{kind}{i}" for kind in ("conv", "bn") for i in (1, 2, 3)}
_BLOCK |= {"se.fc1": "se_reduce", "se.fc2": "se_expand"}
_PROJECTION = {"shortcut.0": "proj", "shortcut.1": "proj_bn", "downsample.0": "proj", "downsample.1": "proj_bn"}
_POOLED_PROJECTION = {"downsample.1": "proj", "downsample.2": "proj_bn"}
_PRE_BLOCK = {f"conv{i}": f"conv{i}" for i in (1, 2, 3)} | {"downsample.conv": "proj"}
_PRE_BLOCK |= {"norm1": "preact_bn", "norm2": "bn1", "norm3": "bn2"}

NORMALIZATION = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
COUNTER = "num_batches_tracked"


def matches(names: set[str]) -> bool:
    """Returns whether the names are those of torchvision or timm."""
    return bool(names & {"layer1.0.conv1.weight", "stages.0.blocks.0.conv1.weight"})


def unseen(names: set[str]) -> dict:
    """Returns the fields that tensors do not show: all networks have version 1.5, and option A pads both sides (CIFAR).

    A projection after average pooling has the number 1. In pre-activated networks, its name does not depend on the
    pooling; timm's networks with a deep stem have it.
    """
    axes = {"stride_in": "3x3", "zero_padding_position": "both"}
    projections = {name[-len("0.weight") :] for name in names if re.search(r"downsample\.[01]\.weight$", name)}
    if "stages.0.blocks.0.conv1.weight" in names:
        axes["first_shortcut"] = "raw"
    pooled = projections == {"1.weight"} or "stem.conv1.weight" in names
    return axes | {"avg_down": pooled}


def preprocessing(names: set[str]) -> Preprocessing:
    """Returns torchvision's and timm's default preprocessing, with 32-pixel images for networks of three stages."""
    cifar = not any(name.startswith(("layer4.", "stages.3.")) for name in names)
    return Preprocessing(image_size=32, crop_pct=1.0) if cifar else Preprocessing(image_size=224)


def rename(arrays: Arrays) -> Arrays:
    """Renames {name: tensor} to this package's paths and layout, without the batch counters.

    Raises:
        ValueError: a name is not one of this format.
    """
    kept = {name: value for name, value in arrays.items() if not name.endswith(COUNTER)}
    renamed = distinct(_to_ours(name, value) for name, value in kept.items())
    if "stem_conv3/kernel" in renamed and "last_bn/gamma" not in renamed:
        # The third normalization of a deep stem has the same name as the only one of other stems.
        renamed = {path.replace("stem_bn/", "stem_bn3/"): value for path, value in renamed.items()}
    return renamed


def distinct(pairs) -> Arrays:
    """Returns (path, array) pairs as a dict.

    Raises:
        ValueError: two pairs have the same path.
    """
    arrays: Arrays = {}
    for path, value in pairs:
        if path in arrays:
            raise ValueError(f"two tensors are meant for {path}")
        arrays[path] = value
    return arrays


def _to_ours(name, value):
    layer, _, kind = name.rpartition(".")
    layer = _layer_to_ours(layer, name, value.ndim)
    if layer == "logits" or "_se_" in layer or "conv" in layer or layer.endswith("_proj"):
        if kind == "bias":
            return f"{layer}/bias", value
        return f"{layer}/kernel", _kernel_to_ours(value, layer == "logits")
    if kind not in NORMALIZATION or value.ndim != 1:
        raise ValueError(f"{name}: a tensor of shape {value.shape} is not known here")
    return f"{layer}/{NORMALIZATION[kind]}", value


def _kernel_to_ours(value, dense):
    """kernel (out, in, h, w) -> (h, w, in, out); (classes, in) or its 1x1 convolution -> (in, classes)."""
    if dense and value.ndim in (2, 4):
        return value.reshape(value.shape[:2]).T
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


def _layer_to_ours(layer, name, rank):
    for heads in (_HEADS, _PRE_HEAD, _PRE_STEM):
        if layer in heads:
            return heads[layer]
    if layer in _DEEP_STEM and layer != "bn1":
        return _DEEP_STEM[layer]
    if layer in _STEM:
        return _STEM[layer]
    found = re.fullmatch(r"(layer|stages\.)([0-9])\.(blocks\.)?(\d{1,3})\.(.+)", layer)
    if found:
        before = found[1] == "stages."
        part = (_PRE_BLOCK if before else _BLOCK | _PROJECTION).get(found[5])
        if found[5] in _POOLED_PROJECTION and (rank == 4 or found[5] == "downsample.2"):
            part = _POOLED_PROJECTION[found[5]]
        if part:
            return f"stage{int(found[2]) + before}_block{int(found[4]) + 1}_{part}"
    raise ValueError(f"{name}: is the name of no tensor that is known here")


def renamed_for(arrays: Arrays, spec: Spec, library: str) -> Arrays:
    """Renames {this package's path: array} to a library's names and layout, the inverse of `rename`.

    The result includes the batch counters.

    Args:
        arrays: arrays of the whole network.
        spec: the network.
        library: "torchvision" or "timm".

    Raises:
        ValueError: the library has no such network.
    """
    reason = _why_not(spec, library)
    if reason:
        raise ValueError(f"{spec.name}: {reason}")
    theirs = dict(_to_theirs(path, value, spec) for path, value in arrays.items())
    names = [name.removesuffix("running_mean") for name in theirs if name.endswith("running_mean")]
    return theirs | {f"{name}{COUNTER}": np.zeros((), np.int64) for name in names}


def _to_theirs(path, value, spec):
    layer, _, variable = path.partition("/")
    before = spec.preactivation
    their = _layer_to_theirs(layer, spec)
    if their is None:
        raise ValueError(f"{spec.name}: torchvision and timm have no network with {path}")
    if variable == "kernel":
        if layer == "logits":
            return f"{their}.weight", value.T[:, :, None, None] if before else value.T
        return f"{their}.weight", value.transpose(3, 2, 0, 1)
    if variable == "bias":
        return f"{their}.bias", value
    kinds = {ours: kind for kind, ours in NORMALIZATION.items()}
    return f"{their}.{kinds[variable]}", value


def _layer_to_theirs(layer, spec):
    before = spec.preactivation
    whole = _PRE_STEM | _PRE_HEAD if before else _HEADS | (_DEEP_STEM if spec.stem == "deep" else _STEM)
    inverse = {ours: their for their, ours in whole.items()}
    if layer in inverse:
        return inverse[layer]
    found = re.fullmatch(r"stage(\d)_block(\d+)_(.+)", layer)
    if not found:
        return None
    stage, block = int(found[1]), int(found[2]) - 1
    parts = _PRE_BLOCK
    if not before:
        pooled = spec.avg_down
        parts = _BLOCK | (_POOLED_PROJECTION if pooled else _PROJECTION)
    part = {ours: their for their, ours in parts.items()}.get(found[3])
    prefix = f"stages.{stage - 1}.blocks." if before else f"layer{stage}."
    return part and f"{prefix}{block}.{part}"


def _why_not(spec, library):
    """Returns the reason why a library does not have this network, "" if it has."""
    wanted: dict[str, str | bool | None] = {
        "skip": "add",
        "shortcut": "B",
        "first_projection": "changed",
        "normalization": "batch",
        "conv_bias": "none",
    }
    wanted |= {"padding": "symmetric", "pool_border": "edge", "stride_at": "first", "activation": "relu"}
    if spec.block == "bottleneck":
        wanted["stride_in"] = "3x3"
    if library == "torchvision":
        wanted |= {"stem": "imagenet", "avg_down": False, "se_reduction": None, "preactivation": False}
    for name, theirs in wanted.items():
        if spec.option(name) != theirs:
            return f"has {name}={spec.option(name)!r}, {library}'s networks have {theirs!r}"
    return f"has a stem for small images, {library}'s networks have none" if spec.stem == "cifar" else ""
