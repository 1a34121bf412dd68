"""torchvision's four detectors with seeded weights, in this package: features, proposals, detections and their bits.

Parity takes seconds for each detector; what each step of the conversion is needed for, tests on parts show, and a slow
test here.
"""

from dataclasses import replace

import numpy as np
import pytest
import seeded
from detectors_rig import FEATURES, golden, old_names, state_of
from torchvision_rig import yxyx

from keras_resnet.detection.detector import build_detector
from keras_resnet.detectors import COCO_CATEGORIES, DETECTORS
from keras_resnet.weights.detectors import convert_detector, torchvision_state
from keras_resnet.weights.loading import set_detector
from keras_resnet.weights.native import named_variables, to_tensors

IMAGE = seeded.detector_image()[None].astype(np.float32)
NUMBERS = [number for number, name in enumerate(COCO_CATEGORIES, 1) if name]
NAMES = list(DETECTORS)


def model_of(name, state, **changes):
    """Returns (the detector of a state dict for images of 192 pixels, its weights)."""
    pretrained = convert_detector(state, name, row=name, given={"image_size": 192})
    description = replace(pretrained.description, detector=pretrained.description.detector | changes)
    model = build_detector(description)
    assert set_detector(model, pretrained) == ()
    return model, pretrained


def answers(model, arrays):
    """Returns the greatest errors, relative of features, in pixels of boxes; whether classes agree.

    The unused numbers, which torchvision answers, are left out: suppression is by class.
    """
    features = model.feature_maps(IMAGE)
    errors = []
    for level, value in features.items():
        expected = np.moveaxis(arrays[f"features.{'pool' if level == 6 else level - 2}"], 1, -1)
        taken = np.asarray(value)[tuple(slice(None, None, step) for step in FEATURES)]
        errors.append(np.abs(taken - expected).max() / np.abs(expected).max())
    proposed = model.propose(features)
    proposals, expected = np.asarray(proposed.boxes[0])[: int(proposed.counts[0])], yxyx(arrays["proposals"])
    distances = np.abs(proposals[:, None] - expected).max(-1)  # their order differs where two scores are almost equal
    one_to_one = len(proposals) == len(expected) == len({*distances.argmin(1)})
    found, known = model.detect(IMAGE), np.isin(arrays["labels"], NUMBERS)
    count = known.sum()
    boxes = np.abs(np.asarray(found.boxes[0])[:count] - yxyx(arrays["boxes"][known])).max()
    scores = np.abs(np.asarray(found.scores[0])[:count] - arrays["scores"][known]).max()
    masks = np.zeros(())
    if found.masks is not None:
        stored = arrays["masks"][known[: len(arrays["masks"])]]
        masks = np.abs(np.asarray(found.masks[0])[: len(stored)] - stored)
    classes = np.asarray(NUMBERS)[np.asarray(found.classes[0])[:count]]
    return {
        "features": max(errors),
        "proposals": distances.min(1).max() if one_to_one else np.inf,
        "boxes": boxes,
        "scores": scores,
        "masks": masks.max(),
        "classes": np.array_equal(classes, arrays["labels"][known]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_seeded_weights_give_torchvisions_outputs_and_their_bits_again(name):
    """Features to a relative error of 1e-5, boxes to 0.01 pixels, scores and masks to 1e-4; detections in order."""
    state = state_of(name)
    model, _ = model_of(name, old_names(state) if not name.endswith("_v2") else state)
    found = answers(model, golden(name))
    assert found["features"] < 1e-5
    assert found["proposals"] < 0.01
    assert found["boxes"] < 0.01
    assert max(found["scores"], found["masks"]) < 1e-4
    assert found["classes"]
    trained = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    # torchvision does not count the trunk's normalization of version 1, which is constant there.
    constant = [v for v in model.trunk.trainable_variables if v.path.endswith(("/gamma", "/beta"))]
    uncounted = 0 if name.endswith("_v2") else sum(int(np.prod(variable.shape)) for variable in constant)
    assert trained - uncounted == DETECTORS[name].parameters
    written = torchvision_state(to_tensors(named_variables(model)), model.description)
    assert written.keys() == state.keys()
    for each, value in state.items():
        np.testing.assert_array_equal(written[each], value, err_msg=each)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "changed"),
    [
        ("anchor_convention", "detectron2", "proposals"),
        ("anchor_convention", "tf_models", "proposals"),
        ("roi_aligned", True, "boxes"),
        ("canonical_size", 56, "boxes"),
        ("sampling_ratio", 1, "boxes"),
        ("proposal_nms_iou", 0.6, "proposals"),
    ],
)
def test_each_option_of_torchvisions_detectors_is_needed(option, value, changed, shared_state):
    name, state = shared_state
    model, _ = model_of(name, state, **{option: value})
    assert answers(model, golden(name))[changed] > 1


@pytest.fixture(scope="module")
def shared_state():
    name = NAMES[0]
    return name, state_of(name)
