"""Renames the tensors of torchvision's detectors: "rpn.head.conv.0.0.weight", or "rpn.head.conv.weight" in older files.

Their trunk has the names of `torch_names.py` after "backbone.body.". Boxes have x first there, and outputs are those of
the background and of every class number in order; here outputs of no class follow those of the classes:

    scores          background, classes, unused
    boxes, masks    classes, unused, background
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_resnet.detectors import COCO_CATEGORIES
from keras_resnet.weights.torch_names import NORMALIZATION

Arrays = dict[str, np.ndarray]

TRUNK = "backbone.body."
_SCORES, _BOXES, _MASKS = "roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred", "mask_fcn_logits"
_FIRST = "rpn.head.cls_logits.weight"  # a tensor that every detector has
# Names of files of torchvision before version 0.13, among them the published ones of version 1.
_OLD = (
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(weight|bias)", r"backbone.fpn.\1_blocks.\2.0.\3"),
)
_OLD_MASK = re.compile(r"roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)")
_LAST_LEVEL = 5  # of the pyramid's convolutions
_XY = [1, 0, 3, 2]  # (dx, dy, dw, dh) from (dy, dx, dh, dw), and back


def matches(names: set[str]) -> bool:
    """Returns whether the names are those of a detector of torchvision, perhaps after a prefix."""
    return any(name == _FIRST or name.endswith(f".{_FIRST}") for name in names)


def is_old(names: set[str]) -> bool:
    """Returns whether the names are those of torchvision before version 0.13."""
    return any(name.endswith("rpn.head.conv.weight") for name in names)


def split(tensors: Arrays) -> tuple[Arrays, Arrays]:
    """Returns the tensors (of the trunk, without its prefix; of the other layers, by their newest names)."""
    first = next(name for name in tensors if name == _FIRST or name.endswith(f".{_FIRST}"))
    prefix = first.removesuffix(_FIRST)
    tensors = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    trunk = {name.removeprefix(TRUNK): value for name, value in tensors.items() if name.startswith(TRUNK)}
    return trunk, {_newest(name): value for name, value in tensors.items() if not name.startswith(TRUNK)}


def _newest(name):
    for old, new in _OLD:
        if re.fullmatch(old, name):
            return re.sub(old, new, name)
    found = _OLD_MASK.fullmatch(name)
    return f"roi_heads.mask_head.{int(found[1]) - 1}.0.{found[2]}" if found else name


def shown_options(heads: Arrays, design: str = "fpn") -> dict[str, Any]:
    """Returns the options that the tensors of the heads show, for a detector of this design.

    Raises:
        KeyError: a tensor that every detector has is missing.
    """
    channels = heads[_FIRST].shape[1]
    options = {"rpn_convolutions": _count(heads, r"rpn\.head\.conv\.(\d+)\.0\.weight"), "background_outputs": True}
    options |= {"design": "c4", "rpn_channels": channels} if design == "c4" else _of_pyramid(heads, channels)
    if f"roi_heads.mask_predictor.{_MASKS}.weight" in heads:
        options["masks"] = True
        options["mask_convolutions"] = _count(heads, r"roi_heads\.mask_head\.(\d+)\.0\.weight")
        options["mask_channels"] = heads["roi_heads.mask_predictor.conv5_mask.weight"].shape[1]
    return options


def _of_pyramid(heads, channels):
    convolutions = _count(heads, r"roi_heads\.box_head\.(\d+)\.0\.weight")
    layers = _count(heads, r"roi_heads\.box_head\.(fc\d+|\d+)\.weight")
    first = heads[f"{_dense(convolutions, 1)}.weight"]
    return {
        "min_level": _LAST_LEVEL + 1 - _count(heads, r"backbone\.fpn\.inner_blocks\.(\d+)\.0\.weight"),
        "fpn_channels": channels,
        "roi_size": round((first.shape[1] / channels) ** 0.5),
        "box_convolutions": convolutions,
        "box_layers": layers,
        "box_features": first.shape[0],
        "normalization": "batch" if "backbone.fpn.inner_blocks.0.1.weight" in heads else "none",
    }


def _count(tensors, pattern):
    return len({found[1] for found in map(re.compile(pattern).fullmatch, tensors) if found})


def _dense(convolutions, number):
    """Returns the name of a fully connected layer of the box head; a flattening and activations are numbered too."""
    return (
        f"roi_heads.box_head.{convolutions + 2 * number - 1}" if convolutions else f"roi_heads.box_head.fc{5 + number}"
    )


def classes(heads: Arrays) -> int:
    """Returns the number of outputs without that of the background, 0 if there are none."""
    return max(0, len(heads.get(f"{_SCORES}.bias", ())) - 1)


def rename(heads: Arrays, options: Mapping[str, Any]) -> Arrays:
    """Renames {name: tensor} of the heads to this package's paths and layout, without the batch counters.

    Args:
        heads: as `split` returns them.
        options: those of `shown_options`, and "unused_outputs".

    Raises:
        ValueError: a tensor is missing or unknown.
    """
    heads = {name: value for name, value in heads.items() if not name.endswith("num_batches_tracked")}
    names = _names(options)
    missing, unknown = sorted(names.values() - heads.keys()), sorted(heads.keys() - names.values())
    if missing or unknown:
        raise ValueError(f"no tensor for {missing[0]}" if missing else f"{unknown[0]}: is the name of no known tensor")
    return {path: _to_ours(path, heads[name], options) for path, name in names.items()}


def renamed_for(arrays: Arrays, options: Mapping[str, Any]) -> Arrays:
    """Renames {path: array} of the heads to torchvision's names, the inverse of `rename`, with the batch counters."""
    theirs = {name: _to_theirs(path, arrays[path], options) for path, name in _names(options).items()}
    counted = [name.removesuffix("running_mean") for name in theirs if name.endswith("running_mean")]
    return theirs | {f"{name}num_batches_tracked": np.zeros((), np.int64) for name in counted}


def _names(options):
    """Returns {this package's path: torchvision's name} of all tensors of the heads."""
    paths: dict[str, str] = {}

    def layer(name, theirs):
        paths.update({f"{name}/kernel": f"{theirs}.weight", f"{name}/bias": f"{theirs}.bias"})

    def conv(name, number, theirs):
        layer(f"{name}{number}", f"{theirs}.0")
        if options.get("normalization") == "batch":
            del paths[f"{name}{number}/bias"]
            paths.update({f"{name}_bn{number}/{ours}": f"{theirs}.1.{kind}" for kind, ours in NORMALIZATION.items()})

    if pyramid := options.get("design") != "c4":
        for i, level in enumerate(range(options["min_level"], _LAST_LEVEL + 1)):
            conv("fpn_lateral", level, f"backbone.fpn.inner_blocks.{i}")
            conv("fpn_output", level, f"backbone.fpn.layer_blocks.{i}")
    for i in range(options["rpn_convolutions"]):
        layer(f"rpn_conv{i + 1 if i else ''}", f"rpn.head.conv.{i}.0")
    layer("rpn_scores", "rpn.head.cls_logits")
    layer("rpn_deltas", "rpn.head.bbox_pred")
    for i in range(options["box_convolutions"] if pyramid else 0):
        conv("box_conv", i + 1, f"roi_heads.box_head.{i}")
    for i in range(1, options["box_layers"] + 1 if pyramid else 1):
        layer(f"box_dense{i}", _dense(options["box_convolutions"], i))
    layer("box_scores", _SCORES)
    layer("box_deltas", _BOXES)
    if options.get("masks"):
        for i in range(options["mask_convolutions"]):
            conv("mask_conv", i + 1, f"roi_heads.mask_head.{i}")
        layer("mask_deconv", "roi_heads.mask_predictor.conv5_mask")
        layer("mask_scores", f"roi_heads.mask_predictor.{_MASKS}")
    return paths


def _to_ours(path, value, options):
    layer, _, variable = path.partition("/")
    if layer in ("rpn_deltas", "box_deltas"):
        value = _swapped(value)
    if layer in ("box_scores", "box_deltas", "mask_scores"):
        value = _outputs(value, _order(layer, value, options), layer == "box_deltas")
    if variable != "kernel":
        return value
    if layer == "box_dense1":
        side = options["roi_size"]
        value = value.reshape(len(value), -1, side, side).transpose(0, 2, 3, 1).reshape(len(value), -1)
    return value.T if value.ndim == 2 else value.transpose(2, 3, 1, 0)


def _to_theirs(path, value, options):
    layer, _, variable = path.partition("/")
    if variable == "kernel":
        value = value.T if value.ndim == 2 else value.transpose(3, 2, 0, 1)
        if layer == "box_dense1":
            side = options["roi_size"]
            value = value.reshape(len(value), side, side, -1).transpose(0, 3, 1, 2).reshape(len(value), -1)
    if layer in ("box_scores", "box_deltas", "mask_scores"):
        value = _outputs(value, np.argsort(_order(layer, value, options)), layer == "box_deltas")
    return _swapped(value) if layer in ("rpn_deltas", "box_deltas") else value


def _swapped(value):
    """Swaps x and y of deltas (4 n, ...)."""
    return value.reshape(-1, 4, *value.shape[1:])[:, _XY].reshape(value.shape)


def _outputs(value, order, of_boxes):
    """values (n, ...), or (4 n, ...) of boxes -> the same in another order of the n outputs."""
    rows = value.reshape(len(order), 4, *value.shape[1:]) if of_boxes else value
    return rows[order].reshape(value.shape)


def _order(layer, value, options):
    """Returns torchvision's number of each output of a layer, in the order of this package."""
    count = len(value) // (4 if layer == "box_deltas" else 1)
    if layer != "box_scores" and not options["background_outputs"]:  # Detectron2's
        return np.arange(count)
    numbers: Sequence[int] = range(1, count)
    if options["unused_outputs"]:
        numbers = sorted(numbers, key=lambda number: not COCO_CATEGORIES[number - 1])
    return np.array([0, *numbers] if layer == "box_scores" else [*numbers, 0])
