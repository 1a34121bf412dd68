"""Provides the four steps of alternating training (Ren et al. 2015, section 3.2), of which each is a run.

| step | trains | begins with |
|---|---|---|
| 1 | the shared layers and the region proposal network | `model.weights` |
| 2 | the shared layers and the heads, on the proposals of step 1 | `model.weights` |
| 3 | the region proposal network | the weights of step 2 |
| 4 | the heads, on the proposals of step 3 | the weights of step 3 |

The shared layers are the trunk and any feature pyramid. Those of steps 3 and 4 are those of step 2, moving statistics
included.
"""

from typing import Literal, NamedTuple

import keras

SHARED = ("trunk", "fpn")
PROPOSALS = ("rpn",)
HEADS = ("roi_head", "box_head", "mask_head")


class Step(NamedTuple):
    """What one of the four steps trains.

    Attributes:
        trained: the parts of the detector that it trains.
        losses: whether the losses are those of proposals or of RoIs.
        starts_from: the step whose weights it begins with; None: `model.weights`.
        proposals_from: the step whose detector makes the proposals; None: the detector itself.
    """

    trained: tuple[str, ...]
    losses: Literal["proposals", "rois"]
    starts_from: int | None = None
    proposals_from: int | None = None


STEPS = {
    1: Step((*SHARED, *PROPOSALS), "proposals"),
    2: Step((*SHARED, *HEADS), "rois", proposals_from=1),
    3: Step(PROPOSALS, "proposals", starts_from=2),
    4: Step(HEADS, "rois", starts_from=3),
}


def freeze_others(model: keras.Model, step: Step) -> None:
    """Freezes the parts of a detector that a step does not train; their normalization is constant then."""
    for name in (*SHARED, *PROPOSALS, *HEADS):
        if name not in step.trained and hasattr(model, name):
            getattr(model, name).trainable = False
