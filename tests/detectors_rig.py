"""Outputs and seeded weights of torchvision's detectors, from `python tests/golden/detection/make_detectors.py`."""

import functools
import json

import numpy as np
import seeded
from conftest import GOLDEN

SCORES = "roi_heads.box_predictor.cls_score"
FEATURES = (1, 4, 4, 16)  # the steps at which the stored features are taken, (N, h, w, C)


@functools.cache
def _all():
    with np.load(GOLDEN / "detection" / "detectors.npz") as file:
        return dict(file)


def golden(name):
    """Returns the stored arrays of a detector by name."""
    return {key.removeprefix(f"{name}/"): each for key, each in _all().items() if key.startswith(f"{name}/")}


def listing(name):
    """Returns [[name, shape, dtype]] of a detector's state dict."""
    return json.loads(golden(name)["names"].tobytes())


def state_of(name):
    """Returns the state dict of the detector that computed the stored arrays."""
    arrays = golden(name)
    state = {each: np.asarray(seeded.detector_tensor(each, shape, dtype)) for each, shape, dtype in listing(name)}
    state[f"{SCORES}.weight"] = state[f"{SCORES}.weight"] * arrays["score_scale"]
    return state | {f"{SCORES}.bias": arrays["score_bias"]}


def old_names(state):
    """Returns a state dict with the names that torchvision had before version 0.13, those of its published files."""
    renamed = {}
    for name, value in state.items():
        if name.startswith(("backbone.fpn.", "rpn.head.conv.")):
            name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias").replace("conv.0.", "conv.")
        if name.startswith("roi_heads.mask_head."):
            number, kind = int(name.split(".")[2]), name.rpartition(".")[2]
            name = f"roi_heads.mask_head.mask_fcn{number + 1}.{kind}"
        renamed[name] = value
    return renamed
