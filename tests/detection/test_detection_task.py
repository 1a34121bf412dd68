"""A detector is trained, evaluated and used by the commands that classifiers use, on a few painted scenes."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, run, tiny_task

from keras_resnet.builder import build
from keras_resnet.commands import entry
from keras_resnet.config import load_config
from keras_resnet.config.detection import DetectionConfig
from keras_resnet.data import scenes
from keras_resnet.data.pipeline import Shard
from keras_resnet.description import Description
from keras_resnet.detection.detections import Detections
from keras_resnet.detection.detector import Detector
from keras_resnet.detection.losses import sampled_rois
from keras_resnet.detection.metrics import LOSSES
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS
from keras_resnet.task import load_task
from keras_resnet.training.fit import fit
from keras_resnet.training.optimizer import prepare
from keras_resnet.training.start import filled_in_from_weights
from keras_resnet.weights.native import load_weights, named_variables, save_weights

RECIPE = str(ROOT / "configs/detection/scenes.yaml")
TINY = [
    "train.steps=4",
    "train.optimizer=sgd",
    "train.eval_every=4",
    "train.warmup_steps=0",
    "eval.batch_size=4",
    "train.log_every=2",
]
SMALL = ["data.image_size=64", "detector.min_level=3", "detector.anchor_sizes=[[12, 17], [24, 34]]"]


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 24, "validation": 6, "test": 5})
        yield


@pytest.fixture(scope="module")
def task():
    return load_task(load_config(RECIPE, TINY))


@pytest.fixture(scope="module")
def small_task():
    """A detector of one block per stage and two levels, at half the size: tracing is most of a test's time."""
    return tiny_task(load_config(RECIPE, [*TINY, *SMALL]))


def model_of(task):
    keras.utils.set_random_seed(0)
    model = task.build_model()
    prepare(model, task.config.train)
    return model


def test_batches_have_boxes_of_the_painted_scenes(task):
    """Evaluation boxes are those of the scenes, in their order; the image is the scene itself at 128 pixels."""
    (images, objects, geometry), weights = next(iter(task.eval_dataset("validation", Shard(0, 1, 4))))
    for i in range(4):
        scene = scenes.paint_scene("validation", i)
        count = len(scene.labels)
        np.testing.assert_allclose(images[i], scene.image)
        np.testing.assert_array_equal(objects["boxes"][i, :count], scene.boxes)
        np.testing.assert_array_equal(objects["classes"][i, :count], scene.labels)
        np.testing.assert_array_equal(objects["ignored"][i, :count], scene.ignored)
        assert objects["valid"][i].numpy().sum() == count
    assert geometry.numpy().tolist() == [[1.0, 128.0, 128.0]] * 4
    assert weights.numpy().tolist() == [1.0] * 4


def test_evaluation_has_all_objects_and_training_the_first(task):
    """`data.max_objects` is for training: an evaluation that left objects out would be wrong."""
    few = load_task(load_config(RECIPE, [*TINY, "data.max_objects=1"]))
    (_, objects, _), _ = next(iter(few.eval_dataset("validation", Shard(0, 1, 4))))
    counts = [len(scenes.paint_scene("validation", i).labels) for i in range(4)]
    assert max(counts) > 1
    assert objects["valid"].numpy().sum(1).tolist() == counts
    assert few.train_dataset(0, Shard(0, 1, 4)).element_spec[0][1]["valid"].shape == (4, 1)


def test_detections_end_at_the_border_of_the_image(task):
    """An image of 20 x 40 pixels fills half of the input; boxes reach into the rest."""

    class Anything:
        def detect(self, images, count):
            boxes = tf.constant([[[8.0, 16.0, 64.0, 60.0], [-2.0, 0.0, 16.0, 80.0]]])
            return Detections(boxes, tf.ones((1, 2)), tf.zeros((1, 2), tf.int32), tf.constant([2]))

    batch = ((tf.zeros((1, 64, 64, 3)), {}, tf.constant([[1.6, 20.0, 40.0]])), tf.ones((1,)))
    boxes = task.evaluate(Anything(), batch)["boxes"]
    np.testing.assert_allclose(boxes, [[[5, 10, 20, 37.5], [0, 0, 10, 40]]], rtol=1e-6)


@pytest.mark.slow
def test_loss_of_an_image_does_not_depend_on_its_batch(task):
    """So that parts, replicas and skipped images give the loss of the whole batch."""
    model = model_of(task)
    (images, objects, seeds), weights = next(iter(task.train_dataset(0, Shard(0, 1, 8))))
    model.trunk.trainable = False  # batch statistics would depend on the batch
    losses, sums = task.loss(model, ((images, objects, seeds), weights))
    half = lambda x: x[:4]  # noqa: E731
    first, _ = task.loss(model, tf.nest.map_structure(half, ((images, objects, seeds), weights)))
    np.testing.assert_allclose(losses[:4], first, rtol=1e-4)
    assert np.isfinite(losses).all()
    assert float(sums["loss"]) == pytest.approx(float(tf.reduce_sum(losses)), rel=1e-5)
    nothing, _ = task.loss(model, ((images, objects, seeds), tf.zeros_like(weights)))
    assert float(tf.reduce_sum(nothing)) == 0.0


@pytest.fixture(scope="module")
def trained(small_task, strategies, tmp_path_factory):
    """Returns the folder of a finished run."""
    folder = RunFolder(str(tmp_path_factory.mktemp("detector") / "run"))
    folder.claim(small_task.config, small_task.description)
    fit(small_task, strategies[1], folder)
    return folder


def test_every_weight_has_a_finite_gradient():
    """Also those of heads for which an image has no object; of a detector with masks, which has all of them."""
    task = tiny_task(load_config(str(ROOT / "configs/detection/scenes_mask.yaml"), [*TINY, *SMALL]))
    model = model_of(task)
    batch = next(iter(task.train_dataset(0, Shard(0, 1, 4))))
    with tf.GradientTape() as tape:
        losses, sums = task.loss(model, batch)
        loss = tf.reduce_sum(losses)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient.numpy()).all(), variable.path
    assert float(sums["images"]) == 4
    parts = [float(sums[name]) for name in LOSSES]
    assert min(parts) > 0
    assert float(sums["loss"]) == pytest.approx(sum(parts), rel=1e-5)


@pytest.mark.slow
def test_run_has_losses_and_average_precision(trained):
    lines = [json.loads(line) for line in pathlib.Path(trained.metrics).read_text().splitlines()]
    last = {key: value for line in lines for key, value in line.items()}
    for name in ("rpn_score_loss", "rpn_box_loss", "class_loss", "box_loss"):
        assert np.isfinite(last[f"train/{name}"])
    parts = sum(last[f"train/{name}"] for name in ("rpn_score_loss", "rpn_box_loss", "class_loss", "box_loss"))
    assert last["train/loss"] == pytest.approx(parts, rel=1e-5)
    assert 0 <= last["validation/ap"] <= last["validation/ap50"] <= 1
    assert "pipeline_tag: object-detection" in pathlib.Path(trained.card).read_text()


@pytest.mark.slow
def test_evaluate_and_predict_use_the_run(trained, tmp_path, capsys):
    entry.call("evaluate", [trained.path, "--split=test", f"--report={tmp_path / 'report'}"])
    printed = capsys.readouterr().out
    assert "AP50" in printed
    measured = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert (measured["protocol"], len(measured["classes"])) == ("coco", 10)
    assert (tmp_path / "report" / "precision_recall.png").stat().st_size > 1000
    entry.call("evaluate", [trained.path, "--split=test", "--protocol=voc12"])
    printed = capsys.readouterr().out
    assert "on scenes, test, voc12" in printed
    assert "VOC12 AP" in printed
    with pytest.raises(ConfigError, match='--protocol: unknown protocol "ten_crop"; expected one of "coco"'):
        entry.call("evaluate", [trained.path, "--protocol=ten_crop"])
    images = []
    for i, shape in enumerate([(128, 128), (60, 200)]):
        path = tmp_path / f"{i}.png"
        tf.io.write_file(str(path), tf.io.encode_png(np.random.RandomState(i).randint(0, 255, (*shape, 3), np.uint8)))
        images.append(str(path))
    arguments = [trained.path, *images, "--format=json", "--min_score=0", f"--plot={tmp_path / 'plot.png'}"]
    entry.call("predict", arguments)
    found = json.loads(capsys.readouterr().out)
    for answer, (height, width) in zip(found, [(128, 128), (60, 200)], strict=True):
        assert answer["predictions"]  # of an untrained detector, anything above 0.05
        for each in answer["predictions"]:
            x, y, w, h = each["bbox"]
            assert 0 <= x <= x + w <= width + 0.01
            assert 0 <= y <= y + h <= height + 0.01
    assert (tmp_path / "plot.png").stat().st_size > 1000
    with pytest.raises(ConfigError, match="heat maps are for classifiers"):
        entry.call("predict", [trained.path, images[0], "--explain=grad_cam", f"--plot={tmp_path}/y.png"])
    entry.call("predict", [trained.path, images[0], "--format=csv"])
    assert capsys.readouterr().out.startswith("image,rank,class,label,score,x,y,width,height,error")


@pytest.mark.slow
def test_every_exported_format_finds_what_the_run_finds(trained, tmp_path, capsys):
    """NMS and RoIAlign are inside, with LiteRT's builtin and ONNX's standard operators."""
    output = tmp_path / "out"
    flags = ["--formats=saved_model,litert,onnx", "--precision=float32,float16"]
    entry.call("export", [f"--workdir={trained.path}", f"--output={output}", *flags])
    report = json.loads((output / "1" / "export_report.json").read_text())
    found = {(each["format"], each["precision"]): each for each in report["artifacts"]}
    operators = found["litert", "float32"]["operators"]
    assert operators["NON_MAX_SUPPRESSION_V4"] == 2  # of the proposals and of the objects
    assert not {name for name in operators if name.startswith(("Flex", "CUSTOM"))}
    assert found["onnx", "float32"]["operators"]["NonMaxSuppression"] == 2
    assert report["warmup"]["requests"] == 3 * 4
    capsys.readouterr()
    path = str(tmp_path / "wide.png")
    pixels = np.random.RandomState(3).randint(0, 255, (60, 200, 3), np.uint8)
    tf.io.write_file(path, tf.io.encode_png(pixels))
    models = [trained.path, output, found["litert", "float32"]["path"]]
    flags = ["--seconds=0", "--batch_sizes=1", "--format=json"]
    process = run("-m", "keras_resnet", "benchmark", *models, *flags)  # sets TensorFlow's threads: a new process
    assert process.returncode == 0, process.stderr
    for row in json.loads(process.stdout)["rows"]:
        assert row["found_by_both"] > 0.95
        assert row["box_error"] < 0.01
    process = run("-m", "keras_resnet", "benchmark", output, "cifar_resnet8")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == (
        f"error: {output}: finds objects, cifar_resnet8 does not; expected models of one kind"
    )
    answers = []
    for model in (
        trained.path,
        output,
        *(each["path"] for each in report["artifacts"] if each["precision"] == "float32"),
    ):
        entry.call("predict", [str(model), path, "--format=json", "--min_score=0"])
        answers.append(json.loads(capsys.readouterr().out)[0]["predictions"])
    assert answers[0]
    for others in answers[1:]:
        assert [each["label"] for each in others] == [each["label"] for each in answers[0]]
        for one, other in zip(answers[0], others, strict=True):
            assert other["score"] == pytest.approx(one["score"], abs=1e-4)
            assert other["bbox"] == pytest.approx(one["bbox"], abs=0.02)


@pytest.mark.slow
def test_weights_and_description_of_a_detector_round_trip(small_task, tmp_path):
    model = model_of(small_task)
    path = str(tmp_path / "w.safetensors")
    save_weights(model, path, model.description.to_metadata())
    other = Detector(Description.from_json(model.description.to_json()))
    load_weights(other, path)
    image = np.random.RandomState(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    for one, two in zip(model.detect(image), other.detect(image), strict=True):
        np.testing.assert_array_equal(one, two)


def test_boxes_stay_float32_in_mixed_precision(small_task, policy):
    """A ground truth box of 1001 pixels is 1001 wide among the RoIs; bfloat16 has 1000 (keras-cv issue 1258)."""
    policy("mixed_bfloat16")
    model = small_task.build_model()
    features = model.feature_maps(tf.zeros((1, 64, 64, 3)))
    assert features[3].dtype == tf.bfloat16
    proposed = model.propose(features)
    assert {proposed.scores.dtype, proposed.deltas.dtype, proposed.boxes.dtype} == {tf.float32}
    assert model.detect(tf.zeros((1, 64, 64, 3))).boxes.dtype == tf.float32
    objects = {"boxes": tf.constant([[[1.0, 1, 1002, 1002]]]), "classes": tf.constant([[3]])}
    objects |= {"ignored": tf.constant([[False]]), "valid": tf.constant([[True]])}
    rois = sampled_rois(model.options, proposed, objects, tf.constant([[0, 7]]))
    (own,) = rois["boxes"].numpy()[rois["positive"].numpy() > 0]
    assert own.tolist() == [1, 1, 1002, 1002]


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["data.name=digits"], "data.name: digits has a class for each image, and this needs boxes"),
        (["data.mixup=0.2"], "data.mixup: is for images of one class"),
        (["detector.anchor_sizes=[[16], [32, 64]]"], "detector.anchor_sizes: expected as many sizes for every level"),
        (["train.remat=true"], "train.remat: is not possible with the task detection"),
    ],
)
def test_wrong_configuration_is_one_line(assignments, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")) as error:
        load_task(load_config(RECIPE, assignments))
    assert "\n" not in str(error.value)


def test_trunk_starts_from_weights_with_their_normalization_and_options(tmp_path):
    """The weights' mean fills in the configuration after the task is made; options that contradict them are refused."""
    trunk = build(SPECS["scene_resnet14"], classes=10, input_shape=(32, 32, 3), mean=(10.0, 20.0, 30.0))
    path = str(tmp_path / "trunk.safetensors")
    save_weights(trunk, path, trunk.description.to_metadata())
    task = load_task(load_config(RECIPE, [f"model.weights={path}"]))
    task.config = filled_in_from_weights(task.config)
    assert task.description.preprocessing.mean == (10.0, 20.0, 30.0)
    model = task.build_model()
    assert "for the trunk" in task.start_from(model)
    for name in ("stem_conv/kernel", "stage3_block2_conv2/kernel"):
        one, two = (named_variables(each)[name].numpy() for each in (model, trunk))
        np.testing.assert_array_equal(one, two)
    other = load_task(load_config(RECIPE, [f"model.weights={path}", "model.padding=same"]))
    model = other.build_model()
    with pytest.raises(ConfigError, match=r"^model\.weights: .*padding"):
        other.start_from(model)


def test_anchors_must_fit_the_levels():
    task = load_task(load_config(RECIPE, ["detector.anchor_sizes=[[16], [32]]"]))
    with pytest.raises(ConfigError, match=r"detector\.anchor_sizes: 2 lists, expected one for each level 2 to 4"):
        task.build_model()


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["anchor_samples=1"], "anchor_samples: 1 with anchor_positive_fraction 0.5 have no positive one"),
        (["roi_positive_fraction=0.01"], "roi_samples: 32 with roi_positive_fraction 0.01 have no positive one"),
        (["roi_positive_iou=0.3"], r"roi_positive_iou 0.3, got \[0.0, 0.5\]"),
        (["roi_negative_iou=[0.4, 0.2]"], r"roi_negative_iou: expected two increasing numbers .* got \[0.4, 0.2\]"),
    ],
)
def test_options_that_nothing_can_be_trained_with_are_refused(assignments, message):
    with pytest.raises(ConfigError, match=message):
        load_config(RECIPE, [f"detector.{each}" for each in assignments])


def test_training_images_without_objects_are_refused(monkeypatch):
    task = load_task(load_config(RECIPE))
    train = dataclasses.replace(task.images.split("train"), max_objects=0)
    monkeypatch.setitem(task.images.splits, "train", train)
    with pytest.raises(DataError, match="scenes: no training image has an object"):
        task.train_dataset(0, Shard(0, 1, 2))


def test_classification_does_not_take_boxes():
    with pytest.raises(ConfigError, match=r"data\.name: scenes has boxes, and this needs a class for each image"):
        load_task(load_config(str(ROOT / "configs/digits/resnet20.yaml"), ["data.name=scenes"]))


def test_digest_of_a_detector_changes_with_its_options():
    config = load_config(RECIPE)
    assert isinstance(config, DetectionConfig)
    assert config.digest() != load_config(RECIPE, ["detector.roi_samples=33"]).digest()
