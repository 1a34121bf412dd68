"""Weights of Detectron2's detectors: its names, layouts and order of outputs, written here from its published facts."""

import pickle
import re

import numpy as np
import pytest
import seeded

from keras_resnet.config.detector_options import DetectorOptions as Options
from keras_resnet.description import Description
from keras_resnet.detection.detector import build_detector, with_options
from keras_resnet.specs import SPECS, variant
from keras_resnet.weights.detectors import convert_detector
from keras_resnet.weights.detectron2_names import OPTIONS, OPTIONS_BY_DESIGN, PREPROCESSING
from keras_resnet.weights.loading import load_pretrained, set_detector
from keras_resnet.weights.native import named_variables, to_tensors

SMALL = OPTIONS | {"masks": True, "mask_channels": 6}
DESIGNS = {
    "fpn": SMALL | OPTIONS_BY_DESIGN["fpn"] | {"fpn_channels": 8, "box_features": 16, "min_level": 2},
    "c4": SMALL | OPTIONS_BY_DESIGN["c4"] | {"design": "c4", "rpn_channels": 5},
}
KINDS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


@pytest.fixture(scope="module", params=DESIGNS)
def written(request):
    """Returns ({path: array} of a small detector, its description, the same as Detectron2 would store it)."""
    spec = variant(SPECS["resnet50"], depths=(1, 1, 1, 1), widths=(4, 4, 8, 8))
    description = Description(spec=spec, preprocessing=PREPROCESSING, labels=("cat", "dog", "hound"))
    model = build_detector(with_options(description, Options.model_validate(DESIGNS[request.param])))
    for path, variable in named_variables(model).items():
        variable.assign(np.abs(seeded.tensor(path, tuple(variable.shape))) + 0.1)
    arrays = to_tensors(named_variables(model))
    names = dict(_theirs(path, value) for path, value in arrays.items())
    if request.param == "c4":
        names = {_of_c4(name): value for name, value in names.items()}
    return arrays, model.description, names


def _of_c4(name):
    """Returns the name in a detector whose last stage is the head of RoIs."""
    return name.replace("backbone.bottom_up.res5", "roi_heads.res5").replace("backbone.bottom_up.", "backbone.")


def _theirs(path, value):
    """Returns Detectron2's name and array of a variable."""
    layer, _, variable = path.partition("/")
    kind = KINDS.get(variable, "weight" if variable == "kernel" else variable)
    if value.ndim == 4:
        value = value.transpose(3, 2, 0, 1)
    elif value.ndim == 2:
        if layer == "box_dense1":
            value = value.reshape(7, 7, 8, 16).transpose(2, 0, 1, 3).reshape(-1, 16)  # channels before places there
        value = value.T
    if layer == "stem_conv":
        return "backbone.bottom_up.stem.conv1.weight", value[:, ::-1]  # blue, green, red
    if layer == "stem_bn":
        return f"backbone.bottom_up.stem.conv1.norm.{kind}", value
    if found := re.fullmatch(r"stage(\d)_block(\d)_(conv|bn|proj)(\d|_bn)?", layer):
        stage, block, what, number = found.groups()
        inner = "shortcut" if what == "proj" else f"conv{number}"
        normalized = ".norm" if "bn" in (what, (number or "")[1:]) else ""
        return f"backbone.bottom_up.res{int(stage) + 1}.{int(block) - 1}.{inner}{normalized}.{kind}", value
    if layer in ("rpn_deltas", "box_deltas"):  # dx before dy, dw before dh
        value = value.reshape(-1, 4, *value.shape[1:])[:, [1, 0, 3, 2]].reshape(value.shape)
    if layer == "box_scores":  # the background last
        value = np.concatenate([value[1:], value[:1]])
    names = {
        "rpn_conv": "proposal_generator.rpn_head.conv",
        "rpn_scores": "proposal_generator.rpn_head.objectness_logits",
        "rpn_deltas": "proposal_generator.rpn_head.anchor_deltas",
        "box_dense1": "roi_heads.box_head.fc1",
        "box_dense2": "roi_heads.box_head.fc2",
        "box_scores": "roi_heads.box_predictor.cls_score",
        "box_deltas": "roi_heads.box_predictor.bbox_pred",
        "mask_deconv": "roi_heads.mask_head.deconv",
        "mask_scores": "roi_heads.mask_head.predictor",
    }
    names |= {f"mask_conv{i}": f"roi_heads.mask_head.mask_fcn{i}" for i in range(1, 5)}
    names |= {f"fpn_{kind}{i}": f"backbone.fpn_{kind}{i}" for kind in ("lateral", "output") for i in range(2, 6)}
    return f"{names[layer]}.{kind}", value


def test_every_tensor_of_detectron2_is_found(written):
    arrays, description, state = written
    assert len(state) == len(arrays)
    found = convert_detector(state | {"pixel_mean": np.zeros((3, 1, 1), np.float32)}, "x")
    assert found.arrays.keys() == arrays.keys()
    for path, value in arrays.items():
        np.testing.assert_array_equal(found.arrays[path], value, err_msg=path)
    about = found.description
    assert about.spec.option("stride_in") == "1x1"
    assert about.preprocessing.mean == (123.675, 116.28, 103.53)
    assert about.preprocessing.std == (1, 1, 1)
    assert about.labels == ("0", "1", "2")
    options = Options.model_validate(about.detector)
    assert (options.anchor_convention, options.roi_aligned, options.masks) == ("detectron2", True, True)
    assert options == Options.model_validate(description.detector)


def test_detectors_of_other_designs_are_refused(written):
    state = {name: value for name, value in written[2].items() if "fpn" not in name and "roi_heads.res5" not in name}
    with pytest.raises(ValueError, match="x: is a detector of Detectron2 that is neither FPN nor C4"):
        convert_detector(state, "x")


def test_weights_set_every_variable_of_the_detector(written):
    found = convert_detector(written[2], "x")
    model = build_detector(found.description)
    set_detector(model, found, False)
    for path, value in to_tensors(named_variables(model)).items():
        np.testing.assert_array_equal(value, written[0][path], err_msg=path)


@pytest.mark.slow
def test_pkl_file_is_read_by_convert_weights_alone(written, tmp_path):
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": written[2], "__author__": "Detectron2 Model Zoo"}, protocol=2))
    with pytest.raises(ValueError, match="convert-weights"):
        load_pretrained(str(path), detectors=True)
    found = load_pretrained(str(path), detectors=True, torch_allowed=True)
    for name, value in written[0].items():
        np.testing.assert_array_equal(found.arrays[name], value, err_msg=name)


class Evil:
    def __reduce__(self):
        return print, ("this text must not appear",)


@pytest.mark.slow
def test_pkl_file_with_code_is_refused_and_runs_none(tmp_path, capfd):
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": Evil()}}, protocol=2))
    with pytest.raises(ValueError, match=r"model_final.pkl: holds __builtin__.print, which could run code"):
        load_pretrained(str(path), detectors=True, torch_allowed=True)
    assert "must not appear" not in capfd.readouterr().out


class Claims:
    """An array of 80 GB that its file does not hold."""

    def __reduce__(self):
        return np.ndarray, ((10**10,), np.dtype(np.float64))


@pytest.mark.slow
def test_pkl_file_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": Claims()}}, protocol=2))
    with pytest.raises(ValueError, match=r"model_final.pkl: (declares 80,000,000,000 bytes|Unable to allocate)"):
        load_pretrained(str(path), detectors=True, torch_allowed=True)
