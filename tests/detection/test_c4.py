"""The paper's detector: its trunk and RoI stage are those of the network, and everything works as with a pyramid."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tiny_task

from keras_resnet.builder import build, build_stages, without_last_stage
from keras_resnet.commands import entry
from keras_resnet.config import load_config
from keras_resnet.config.detector_options import DetectorOptions as Options
from keras_resnet.data import scenes
from keras_resnet.data.pipeline import Shard
from keras_resnet.description import Description, Preprocessing
from keras_resnet.detection.detector import build_detector, with_options
from keras_resnet.detection.roi_features import roi_features
from keras_resnet.detection.signatures import DetectorExport
from keras_resnet.errors import ConfigError
from keras_resnet.export.graph import fold
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS
from keras_resnet.task import load_task
from keras_resnet.training.fit import fit
from keras_resnet.training.optimizer import prepare
from keras_resnet.training.start import filled_in_from_weights
from keras_resnet.weights.native import named_variables, save_weights
from keras_resnet.weights.tensors import read_tensors

RECIPE = str(ROOT / "configs/detection/scenes_c4.yaml")
SMALL = ["data.image_size=64", "detector.anchor_sizes=[[16, 32]]", "train.steps=2", "train.warmup_steps=0"]
IMAGE = np.random.RandomState(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 8, "validation": 4, "test": 4})
        yield


@pytest.fixture(scope="module")
def with_masks():
    task = tiny_task(load_config(RECIPE, [*SMALL, "detector.masks=true", "detector.mask_channels=8"]))
    keras.utils.set_random_seed(0)
    return task, task.build_model()


def convolutions(model):
    """Returns the names of the convolutions that the paper counts: those of projections are not among them."""
    layers = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return [name for name in layers if not name.endswith("_proj")]


def test_overview_counts_the_anchors_inside_of_the_image():
    """An anchor of 128 pixels is in no image of 64; one of 32 at 4 + 8 i is at 20, 28, 36 and 44 along an axis."""
    for size, inside in ((128, 0), (32, 16)):
        anchors = [f"detector.anchor_sizes=[[{size}]]", "detector.anchor_ratios=[1.0]"]
        task = tiny_task(load_config(RECIPE, [*SMALL, *anchors, "detector.ignore_crossing_anchors=true"]))
        line = task.overview(task.build_model())["detector"]
        assert line.endswith(f", of which the {inside} inside of the image are trained")


def test_resnet101_has_91_shared_convolutions():
    """He et al. 2015, appendix A: conv1 to conv4_x, "91 conv layers in ResNet-101"; conv5_x has the other 9."""
    spec = SPECS["resnet101"]
    trunk = without_last_stage(build(spec, features_only=True, input_shape=(64, 64, 3)))
    assert len(convolutions(trunk)) == 91
    assert [*trunk.output] == ["stage1", "stage2", "stage3"]
    assert trunk.output["stage3"].shape[1:] == (4, 4, 1024)
    stage = build_stages(spec, 4, (14, 14, 1024))
    assert len(convolutions(stage)) == 9
    assert stage.output.shape[1:] == (7, 7, 2048)


@pytest.mark.parametrize("name", ["scene_resnet14", pytest.param("cifar_preresnet164", marks=pytest.mark.slow)])
def test_last_stage_on_the_whole_image_equals_that_of_the_network(name):
    """RoIAlign of the whole image, as many bins as cells and one point in each, gives the cells themselves.

    A pre-activated network ends with a normalization and an activation, which the RoI stage has too.
    """
    keras.utils.set_random_seed(0)
    side = 64 if name == "scene_resnet14" else 16
    network = build(SPECS[name], classes=3, input_shape=(side, side, 3))
    options = Options(design="c4", roi_size=8, sampling_ratio=1, anchor_sizes=((16.0,),))
    description = Description(
        spec=SPECS[name],
        preprocessing=Preprocessing(image_size=side, crop_pct=1.0, channels=3, resize="letterbox"),
        labels=("cat", "dog"),
    )
    model = build_detector(with_options(description, options))
    variables = named_variables(network)
    for path, variable in named_variables(model).items():
        if path in variables:
            variable.assign(variables[path])
    images = IMAGE[:, :side, :side]
    features = model.feature_maps(images)
    whole = tf.constant([[[0.0, 0.0, side, side]]])
    found = model.roi_head(roi_features(features, whole, 8, options))
    expected = keras.Model(network.input, network.get_layer("pool").input)(images)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_weights_of_a_classifier_set_the_trunk_and_the_last_stage(tmp_path):
    classifier = build(SPECS["scene_resnet14"], classes=10, input_shape=(32, 32, 3))
    path = str(tmp_path / "trunk.safetensors")
    save_weights(classifier, path, classifier.description.to_metadata())
    task = load_task(load_config(RECIPE, [f"model.weights={path}"]))
    task.config = filled_in_from_weights(task.config)
    model = task.build_model()
    assert task.start_from(model).endswith("for the trunk")
    own, theirs = named_variables(model), named_variables(classifier)
    shared = {path for path in theirs if not path.startswith("logits/")}
    assert {path for path in own if path.startswith(("stem", "stage"))} == shared
    for each in shared:
        np.testing.assert_array_equal(own[each], theirs[each], err_msg=each)


def test_every_weight_has_a_finite_gradient_and_new_layers_a_standard_deviation_of_a_hundredth(with_masks):
    task, model = with_masks
    batch = next(iter(task.train_dataset(0, Shard(0, 1, 4))))
    with tf.GradientTape() as tape:
        losses, sums = task.loss(model, batch)
        loss = tf.reduce_sum(losses)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient.numpy()).all(), variable.path
    assert min(float(sums[name]) for name in sums) > 0
    variables = named_variables(model)
    for name, std in {"rpn_conv": 0.01, "rpn_scores": 0.01, "box_scores": 0.01, "box_deltas": 0.001}.items():
        assert np.std(variables[f"{name}/kernel"].numpy()) == pytest.approx(std, rel=0.15), name


def test_layers_of_the_last_stage_are_frozen_and_constant_as_those_of_the_trunk():
    """`freeze_at` and `batch_norm` reach the layers by their names, in whichever part of the detector they are."""
    task = tiny_task(load_config(RECIPE, [*SMALL, "train.freeze_at=stage2", "train.batch_norm=constant"]))
    model = task.build_model()
    prepare(model, task.config.train)
    trained = {variable.path for variable in model.trainable_variables}
    assert not any(path.startswith(("stem", "stage1", "stage2")) for path in trained)
    assert {path for path in trained if path.startswith("stage3")} == {
        f"stage3_block1_{name}/kernel" for name in ("conv1", "conv2", "proj")
    }


def test_export_folds_the_trunk_and_the_last_stage(with_masks):
    task, model = with_masks
    folded = []

    def change(part):
        folded.append(fold(part))
        return folded[-1]

    network = DetectorExport(task.description, task.config.export, task).network(model, change)
    found, expected = network(IMAGE), model.detect(IMAGE)
    layers = [layer for part in folded for layer in part.layers]
    assert not [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {"stem_conv", "stage3_block1_conv1"} <= {layer.name for layer in layers}
    np.testing.assert_allclose(found["boxes"], expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-5)
    np.testing.assert_allclose(found["masks"], expected.masks, atol=1e-4)
    assert expected.masks.shape[2:] == (8, 8)


def test_options_that_are_not_given_follow_the_design():
    assert Options(design="c4").anchor_sizes == ((128, 256, 512),)
    assert (Options(design="c4").roi_size, Options().roi_size) == (14, 7)
    assert Options(design="c4", roi_size=8).roi_size == 8


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["detector.fpn_channels=64"], "detector.fpn_channels: is for detector.design: fpn"),
        (["detector.design=fpn", "detector.pooling=max"], "detector.pooling: max needs detector.design: c4"),
        (["detector.anchor_sizes=[[16], [32]]"], "detector.anchor_sizes: 2 lists, expected one for the only level"),
        (["model.name=highway19"], "highway19 has no stage 3 that could be built"),
    ],
)
def test_wrong_configuration_is_one_line(assignments, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")) as error:
        load_task(load_config(RECIPE, assignments)).build_model()
    assert "\n" not in str(error.value)


def test_weights_of_another_design_are_refused(tmp_path):
    task = tiny_task(load_config(RECIPE, SMALL))
    model = task.build_model()
    path = str(tmp_path / "c4.safetensors")
    save_weights(model, path, model.description.to_metadata())
    config = load_config(str(ROOT / "configs/detection/scenes.yaml"), ["detector.design=fpn", f"model.weights={path}"])
    with pytest.raises(ConfigError, match=r"detector\.design: fpn, but .* has weights of design c4"):
        filled_in_from_weights(config)
    taken = filled_in_from_weights(load_config(RECIPE, [f"model.weights={path}"]))
    assert taken.detector.design == "c4"


@pytest.mark.slow
def test_run_is_evaluated_used_and_exported_in_every_format(strategies, tmp_path, capsys):
    """With constant normalization: its scale, shift and moving statistics are those of the start after all steps."""
    settings = [*SMALL, "train.batch_norm=constant", "eval.batch_size=4"]
    task = tiny_task(load_config(RECIPE, settings))
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(task.config, task.description)
    fit(task, strategies[1], folder)
    keras.utils.set_random_seed(task.config.train.seed)
    before, after = named_variables(task.build_model()), read_tensors(folder.last_weights)
    for name, value in after.items():
        constant = "_bn" in name
        assert np.array_equal(value, before[name]) == constant, name
    entry.call("evaluate", [folder.path, "--split=test"])
    assert "AP50" in capsys.readouterr().out
    output = tmp_path / "out"
    flags = ["--formats=saved_model,litert,onnx", "--precision=float32,float16"]
    entry.call("export", [f"--workdir={folder.path}", f"--output={output}", *flags])
    report = json.loads((output / "1" / "export_report.json").read_text())
    assert all(each["holds"] for each in report["artifacts"])
    capsys.readouterr()
    path = str(tmp_path / "square.png")
    pixels = np.random.RandomState(3).randint(0, 255, (200, 200, 3), np.uint8)
    tf.io.write_file(path, tf.io.encode_png(pixels))
    answers = []
    for model in (folder.path, output):
        entry.call("predict", [str(model), path, "--format=json", "--min_score=0"])
        answers.append(json.loads(capsys.readouterr().out)[0]["predictions"])
    assert answers[0]
    assert [each["label"] for each in answers[1]] == [each["label"] for each in answers[0]]
