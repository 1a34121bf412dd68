"""Weights of torchvision's detectors: names, layout, epsilon and outputs, there and back, on a small detector."""

import functools
from dataclasses import replace

import detectors_rig
import numpy as np
import pytest
import seeded

from keras_resnet.config.detector_options import DetectorOptions as Options
from keras_resnet.description import Description, Preprocessing
from keras_resnet.detection.detector import build_detector, with_options
from keras_resnet.detectors import COCO_CATEGORIES, COCO_LABELS, DETECTORS, TORCHVISION
from keras_resnet.specs import SPECS, variant
from keras_resnet.weights.conversion import fold_epsilon, unfold_epsilon
from keras_resnet.weights.detectors import convert_detector, torchvision_state
from keras_resnet.weights.loading import load_pretrained, set_detector
from keras_resnet.weights.native import named_variables, save_weights, to_tensors

SMALL = {"fpn_channels": 8, "box_features": 16}
MASKS = {"masks": True, "mask_channels": 6, "mask_convolutions": 2}
KINDS = {
    "v1": TORCHVISION | SMALL,
    "v2": DETECTORS["fasterrcnn_resnet50_fpn_v2"].options | SMALL | {"unused_outputs": 0},
    "v1 masks": TORCHVISION | SMALL | MASKS,
    "v2 masks": DETECTORS["maskrcnn_resnet50_fpn_v2"].options | SMALL | MASKS | {"unused_outputs": 0},
    "coco masks": DETECTORS["maskrcnn_resnet50_fpn"].options | SMALL | MASKS,
}


def small_detector(kind, labels=("cat", "dog", "hound")):
    labels = COCO_LABELS if kind == "coco masks" else labels
    spec = variant(SPECS["resnet18"], depths=(1, 1, 1, 1), widths=(8, 8, 16, 16))
    description = Description(
        spec=spec,
        preprocessing=Preprocessing(image_size=64, channels=3, crop_pct=1.0, resize="letterbox"),
        labels=labels,
    )
    model = build_detector(with_options(description, Options.model_validate(KINDS[kind])))
    for path, variable in named_variables(model).items():
        variable.assign(np.abs(seeded.tensor(path, tuple(variable.shape))) + 0.1)
    return model


def arrays_of(model):
    return to_tensors(named_variables(model))


@functools.cache
def _written(kind):
    model = small_detector(kind)
    return arrays_of(model), model.description


def written(kind):
    """Returns (arrays, description, torchvision's state dict) of a small detector."""
    arrays, description = _written(kind)
    return arrays, description, torchvision_state(arrays, description)


@pytest.mark.sampled("v2 masks", "coco masks")
@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_is_equal_after_reading_and_writing(kind):
    """Bit by bit, with the counters; the second time with torchvision's old names, which are written as new ones."""
    arrays, _, state = written(kind)
    for given in (state, {f"module.{name}": value for name, value in detectors_rig.old_names(state).items()}):
        if kind.startswith("v2") and given is not state:
            continue  # it came with the new names
        found = convert_detector(given, "x", epsilon=1e-5)
        assert found.arrays.keys() == arrays.keys()
        for path, value in arrays.items():
            np.testing.assert_array_equal(found.arrays[path], value, err_msg=path)
        again = torchvision_state(found.arrays, found.description)
        assert again.keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)
            assert again[name].dtype == value.dtype
    labels = COCO_LABELS if kind == "coco masks" else ("0", "1", "2")
    assert found.description.labels == labels
    assert {name: found.description.detector[name] for name in SMALL} == SMALL


def test_outputs_of_classes_and_boxes_are_where_torchvision_has_them():
    """Class 12 of COCO has no name: its output follows those of the 80 classes; deltas begin with x there."""
    _, _, state = written("coco masks")
    state["roi_heads.box_predictor.cls_score.bias"] = np.arange(91, dtype=np.float32)
    state["roi_heads.box_predictor.bbox_pred.bias"] = np.arange(364, dtype=np.float32)
    state["roi_heads.mask_predictor.mask_fcn_logits.bias"] = np.arange(91, dtype=np.float32)
    state["rpn.head.bbox_pred.bias"] = np.arange(12, dtype=np.float32)
    arrays = convert_detector(state, "x").arrays
    numbers = [number for number, name in enumerate(COCO_CATEGORIES, 1) if name]
    unused = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
    assert arrays["box_scores/bias"].tolist() == [0, *numbers, *unused]
    assert arrays["box_deltas/bias"].reshape(-1, 4)[:, 0].tolist() == [4 * n + 1 for n in (*numbers, *unused, 0)]
    assert arrays["mask_scores/bias"].tolist() == [*numbers, *unused, 0]
    assert arrays["rpn_deltas/bias"].tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]
    assert (COCO_LABELS[0], COCO_LABELS[11], COCO_LABELS[79]) == ("person", "stop sign", "toothbrush")


def test_first_dense_layer_takes_features_with_the_channels_last():
    _, _, state = written("v1")
    inputs = np.arange(8 * 49, dtype=np.float32).reshape(8, 7, 7)  # channels, rows, columns
    state["roi_heads.box_head.fc6.weight"] = np.broadcast_to(inputs.reshape(1, -1), (16, 392))
    kernel = convert_detector(state, "x").arrays["box_dense1/kernel"]
    np.testing.assert_array_equal(kernel[:, 0].reshape(7, 7, 8), inputs.transpose(1, 2, 0))


@pytest.mark.sampled("maskrcnn_resnet50_fpn_v2")
@pytest.mark.parametrize("name", DETECTORS)
def test_every_tensor_of_the_published_detectors_is_known(name):
    """Names and shapes of torchvision's state dicts come back; options are those of the table."""
    listing = detectors_rig.listing(name)
    state = {each: np.ones(shape, dtype) for each, shape, dtype in listing}
    found = convert_detector(state, name, row=name)
    row = DETECTORS[name]
    assert Options.model_validate(found.description.detector) == Options.model_validate(row.options)
    assert (found.spec.name, found.spec.version) == (row.network, row.version)
    again = torchvision_state(found.arrays, found.description)
    assert [[each, [*again[each].shape], str(again[each].dtype)] for each, _, _ in listing] == listing
    assert len(again) == len(listing)


def test_tiny_variances_take_an_epsilon_in_and_give_their_bits_again():
    """y = gamma (x - mean) / sqrt(variance + epsilon) is unchanged, to a relative error of 1e-6 in float32."""
    rng = np.random.RandomState(0)
    variance = np.float32([*10.0 ** rng.uniform(-12, 1, 4000), 1e-5, 2e-5, 1.0, 2.0**-17, 3e-39])
    gamma = rng.normal(size=len(variance)).astype(np.float32)
    arrays = {"a_bn/moving_variance": variance.copy(), "a_bn/gamma": gamma.copy()}
    exponents = fold_epsilon(arrays, 0.0)
    folded = arrays["a_bn/moving_variance"]
    assert folded.min() >= 0
    factor = arrays["a_bn/gamma"] / np.sqrt(folded + np.float32(1e-5))
    np.testing.assert_allclose(factor, gamma / np.sqrt(variance.astype(np.float64)), rtol=1e-6)
    assert len(exponents["a_bn"]) == np.sum(variance.astype(np.float64) < 1e-5) > 1000
    unfold_epsilon(arrays, 0.0, exponents)
    np.testing.assert_array_equal(arrays["a_bn/moving_variance"], variance)
    np.testing.assert_array_equal(arrays["a_bn/gamma"], gamma)


def test_old_names_stand_for_an_epsilon_of_0_unless_it_is_given():
    _, _, state = written("v1")
    old = detectors_rig.old_names(state)
    found = convert_detector(old, "x")
    assert found.description.conversion["epsilon"] == 0
    assert any("epsilon of the trunk's batch normalization is 0" in line for line in found.assumed)
    again = torchvision_state(found.arrays, found.description)
    assert again.keys() == {name for name in state if not name.endswith("num_batches_tracked")}  # it counts nothing
    for name, value in again.items():
        np.testing.assert_array_equal(value, state[name])
    assert convert_detector(old, "x", epsilon=1e-5).description.conversion == {}
    assert convert_detector(state, "x").description.conversion == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("roi_heads.box_head.fc7.bias"), "x: no tensor for roi_heads.box_head.fc7.bias"),
        (lambda state: state.update(extra=np.ones(1)), "x: extra: is the name of no known tensor"),
        (lambda state: state.pop("roi_heads.box_head.fc6.weight"), "x: no tensor for roi_heads.box_head.fc6.weight"),
    ],
)
def test_incomplete_detector_is_refused_in_one_line(change, message):
    _, _, state = written("v1")
    change(state)
    with pytest.raises(ValueError, match=f"^{message}$"):
        convert_detector(state, "x")


def test_other_detectors_are_no_detectors_of_torchvision():
    arrays, description, _ = written("v1")
    other = description.detector | {"anchor_convention": "tf_models"}
    with pytest.raises(ValueError, match="its detector has anchor_convention='tf_models', torchvision's have 'torchvi"):
        torchvision_state(arrays, replace(description, detector=other))


def test_as_many_outputs_of_other_classes_are_new_layers():
    """80 classes of COCO with 10 numbers of none, and 90 classes of one's own."""
    _, description, state = written("coco masks")
    pretrained = convert_detector(state, "x")
    options = description.detector | {"unused_outputs": 0}
    own = build_detector(replace(description, labels=tuple(map(str, range(90))), detector=options))
    assert set_detector(own, pretrained) == ("box_scores", "box_deltas", "mask_scores")


def test_file_of_this_package_has_the_whole_detector_or_its_trunk(tmp_path):
    model, path = small_detector("v1"), str(tmp_path / "x.safetensors")
    save_weights(model, path)
    found, trunk = load_pretrained(path, detectors=True), load_pretrained(path)
    assert found.description == replace(model.description, source=path)
    for name, value in arrays_of(model).items():
        np.testing.assert_array_equal(found.arrays[name], value)
    assert trunk.arrays.keys() == {name for name in found.arrays if name.startswith("st")}
    assert (trunk.description.detector, trunk.description.labels) == ({}, ())
    assert trunk.description.preprocessing.resize == "crop"


def test_layers_of_other_classes_keep_their_initialization():
    model, (_, _, state) = small_detector("v1", ("a", "b")), written("v1")
    before = arrays_of(model)
    pretrained = convert_detector(state, "x")
    pretrained.arrays.update({path: value + 1 for path, value in pretrained.arrays.items()})  # other than the model's
    assert set_detector(model, pretrained) == ("box_scores", "box_deltas")
    for path, value in arrays_of(model).items():
        new = path.startswith(("box_scores", "box_deltas"))
        np.testing.assert_array_equal(value, before[path] if new else pretrained.arrays[path], err_msg=path)
    same = small_detector("v1")
    assert set_detector(same, pretrained, reset_head=True) == ("box_scores", "box_deltas")
    assert set_detector(same, pretrained) == ()
    np.testing.assert_array_equal(arrays_of(same)["box_scores/bias"], pretrained.arrays["box_scores/bias"])
