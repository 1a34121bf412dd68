"""Gives the tensors of Detectron2's detectors the names and order of torchvision's: "backbone.fpn_lateral2.weight".

These are Faster and Mask R-CNN with a feature pyramid, and with the last stage for each RoI (C4), which torchvision
does not have. Their trunk takes blue, green, red; the background is the last of the scores and has neither boxes nor
masks.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_resnet.description import Preprocessing

Arrays = dict[str, np.ndarray]

_FIRST = "proposal_generator.rpn_head.objectness_logits.weight"  # a tensor that every detector has
_C4 = "roi_heads.res5."  # the last stage as the head of RoIs
_PYRAMID = "backbone.fpn_lateral5.weight"
_SCORES = "roi_heads.box_predictor.cls_score"
# The trunk of C4, as that of a pyramid.
_TRUNK = ((r"backbone\.(stem|res\d)\.", r"backbone.bottom_up.\1."), (r"roi_heads\.(res5)\.", r"backbone.bottom_up.\1."))
_NAMES = (
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    (r"backbone\.bottom_up\.stem\.conv1\.weight", "backbone.body.conv1.weight"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.norm\.(\w+)", r"backbone.body.layer<\1>.\2.bn\3.\4"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.weight", r"backbone.body.layer<\1>.\2.conv\3.weight"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.norm\.(\w+)", r"backbone.body.layer<\1>.\2.downsample.1.\3"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.weight", r"backbone.body.layer<\1>.\2.downsample.0.weight"),
    (r"backbone\.fpn_lateral(\d)\.(\w+)", r"backbone.fpn.inner_blocks.<<\1>>.0.\2"),
    (r"backbone\.fpn_output(\d)\.(\w+)", r"backbone.fpn.layer_blocks.<<\1>>.0.\2"),
    (r"proposal_generator\.rpn_head\.conv\.(\w+)", r"rpn.head.conv.0.0.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(\w+)", r"rpn.head.cls_logits.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(\w+)", r"rpn.head.bbox_pred.\1"),
    (r"roi_heads\.box_head\.fc(\d)\.(\w+)", r"roi_heads.box_head.fc<<<\1>>>.\2"),
    (r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(\w+)", r"roi_heads.box_predictor.\1.\2"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(\w+)", r"roi_heads.mask_head.mask_fcn\1.\2"),
    (r"roi_heads\.mask_head\.deconv\.(\w+)", r"roi_heads.mask_predictor.conv5_mask.\1"),
    (r"roi_heads\.mask_head\.predictor\.(\w+)", r"roi_heads.mask_predictor.mask_fcn_logits.\1"),
)
# Numbers that are counted from another start there: stages from 2, levels of the pyramid from 2, layers from 1.
_COUNTED = ((r"<<<(\d)>>>", 5), (r"<<(\d)>>", -2), (r"<(\d)>", -1))
# Constants of Detectron2's training that its model holds beside the weights.
_CONSTANT = re.compile(r"pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d+")

# What Detectron2's configurations of these detectors have in common. Its RoIAlign takes more points in larger boxes,
# which is not provided: two on each side of a bin are the closest.
OPTIONS = {"anchor_convention": "detectron2", "background_outputs": False}
OPTIONS_BY_DESIGN: dict[str, dict[str, Any]] = {
    "fpn": {"proposals": (1000, 1000)},
    "c4": {
        "proposals": (2000, 1000),
        "proposals_before_nms": (12_000, 6000),
        "anchor_sizes": ((32, 64, 128, 256, 512),),
    },
}
PREPROCESSING = Preprocessing(
    mean=(123.675, 116.28, 103.53), std=(1.0, 1.0, 1.0), image_size=1088, crop_pct=1.0, channels=3, resize="letterbox"
)


def matches(names: set[str]) -> bool:
    """Returns whether the names are those of a detector of Detectron2."""
    return _FIRST in names


def design(names: Iterable[str]) -> str:
    """Returns the option `design` of a detector.

    Raises:
        ValueError: the detector is of another design.
    """
    if _PYRAMID in names:
        return "fpn"
    if any(name.startswith(_C4) for name in names):
        return "c4"
    raise ValueError("is a detector of Detectron2 that is neither FPN nor C4; others, such as DC5, are not provided")


def as_torchvision(tensors: Arrays) -> Arrays:
    """Returns the tensors with torchvision's names, its order of scores, and a trunk that takes red, green, blue.

    Raises:
        ValueError: a name is unknown.
    """
    renamed = {_name(name): value for name, value in tensors.items() if not _CONSTANT.fullmatch(name)}
    for kind in ("weight", "bias"):
        name = f"{_SCORES}.{kind}"
        renamed[name] = np.roll(renamed[name], 1, axis=0)
    renamed["backbone.body.conv1.weight"] = renamed["backbone.body.conv1.weight"][:, ::-1]
    return renamed


def _name(name):
    for of_c4, of_pyramid in _TRUNK:
        name = re.sub(of_c4, of_pyramid, name)
    for theirs, ours in _NAMES:
        if re.fullmatch(theirs, name):
            name = re.sub(theirs, ours, name)
            for pattern, offset in _COUNTED:
                name = re.sub(pattern, lambda found: str(int(found[1]) + offset), name)  # noqa: B023
            return name
    raise ValueError(f"{name}: is the name of no known tensor")
