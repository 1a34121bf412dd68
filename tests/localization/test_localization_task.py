"""A localizer is trained, evaluated and used by the commands that classifiers use, on a few painted digits."""

import json
import pathlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tiny_task

from keras_resnet.builder import build
from keras_resnet.commands import entry, evaluate, runs
from keras_resnet.config import load_config
from keras_resnet.data import scenes
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.transforms import resize_shorter_side
from keras_resnet.errors import ConfigError
from keras_resnet.localization.dense import default_scales, dense_locate, dense_outputs
from keras_resnet.localization.metrics import LOSSES
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS
from keras_resnet.task import load_task
from keras_resnet.training.fit import fit
from keras_resnet.training.optimizer import prepare
from keras_resnet.training.start import filled_in_from_weights
from keras_resnet.weights.loading import load_pretrained
from keras_resnet.weights.native import named_variables, save_weights
from keras_resnet.weights.tensors import read_tensors

RECIPE = str(ROOT / "configs/localization/scenes.yaml")
TINY = ["train.steps=4", "train.eval_every=4", "train.warmup_steps=0", "train.batch_size=4", "eval.batch_size=4"]
TINY += ["train.optimizer=sgd", "train.log_every=2"]


@pytest.fixture(scope="module", autouse=True)
def few_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "OBJECTS", {"train": 12, "validation": 6, "test": 5})
        yield


@pytest.fixture(scope="module")
def task():
    return load_task(load_config(RECIPE, TINY))


@pytest.fixture(scope="module")
def small_task():
    """A localizer of one block per stage: tracing is most of a test's time."""
    return tiny_task(load_config(RECIPE, TINY))


def model_of(task):
    keras.utils.set_random_seed(0)
    model = task.build_model()
    prepare(model, task.config.train)
    return model


def test_batches_have_the_painted_boxes(task):
    """Evaluation boxes are in pixels of the images of 80 x 80, of which the network sees all at 64 x 64."""
    (images, target, start, ratio), weights = next(iter(task.eval_dataset("validation", Shard(0, 1, 4))))
    assert images.shape == (4, 64, 64, 3)
    for i in range(4):
        _, label, box = scenes.paint_object("validation", i)
        assert (int(target["labels"][i]), target["true_boxes"][i].numpy().tolist()) == (label, [list(box)])
    assert (start.numpy().tolist(), weights.numpy().tolist()) == ([[0, 0]] * 4, [1] * 4)
    np.testing.assert_allclose(ratio, 0.8)
    _, _, boxes, valid, _ = next(iter(task.train_dataset(0, Shard(0, 1, 4))))[0]
    assert (boxes.shape, valid.numpy().sum(1).max()) == ((4, task.config.data.max_objects, 4), 1)
    assert float(tf.reduce_max(boxes)) <= 64


def test_loss_of_an_image_does_not_depend_on_its_batch(small_task):
    """So that parts, replicas and skipped images give the loss of the whole batch."""
    model = model_of(small_task)
    batch = next(iter(small_task.train_dataset(0, Shard(0, 1, 4))))
    model.network.trainable = False  # batch statistics would depend on the batch
    losses, sums = small_task.loss(model, batch)
    first, _ = small_task.loss(model, tf.nest.map_structure(lambda x: x[:2], batch))
    np.testing.assert_allclose(losses[:2], first, rtol=1e-4)
    assert float(sums["loss"]) == pytest.approx(sum(float(sums[name]) for name in LOSSES[:3]), rel=1e-5)
    nothing, _ = small_task.loss(model, (batch[0], tf.zeros_like(batch[1])))
    assert float(tf.reduce_sum(nothing)) == 0.0


def test_every_weight_has_a_finite_dense_gradient(small_task):
    model = model_of(small_task)
    with tf.GradientTape() as tape:
        losses, _ = small_task.loss(model, next(iter(small_task.train_dataset(0, Shard(0, 1, 4)))))
        loss = tf.reduce_sum(losses)
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient.numpy()).all(), variable.path


def test_mean_box_share_is_that_of_the_training_images(task):
    boxes = np.array([scenes.paint_object("train", i)[2] for i in range(12)])
    np.testing.assert_allclose(task.mean_box_share, (boxes[:, 2:] - boxes[:, :2]).mean(0) / 80, rtol=1e-5)


def test_dense_scales_are_those_of_training(task):
    assert default_scales(task) == (64, 72, 80)
    assert default_scales(load_task(load_config(RECIPE, [*TINY, "data.crop=center", "eval.crop_pct=0.8"]))) == (80,)


def annotated_folder(root):
    """Two training images of 20 x 40 pixels; the second has two cats."""
    (root / "train").mkdir()
    for name, boxes in {"a": [(1, 1, 10, 20)], "b": [(1, 1, 5, 5), (31, 11, 40, 20)]}.items():
        corners = ("xmin", "ymin", "xmax", "ymax")
        objects = ""
        for box in boxes:
            inside = "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(corners, box, strict=True))
            objects += f"<object><name>{'cat' if name == 'b' else 'dog'}</name><bndbox>{inside}</bndbox></object>"
        (root / f"train/{name}.xml").write_text(f"<annotation>{objects}</annotation>")
        tf.io.write_file(str(root / f"train/{name}.png"), tf.io.encode_png(np.zeros((20, 40, 3), np.uint8)))


def test_images_of_a_folder_have_all_their_boxes(tmp_path):
    annotated_folder(tmp_path)
    data = [f"data.name=annotated:{tmp_path}", "data.image_size=16", "data.crop=center"]
    task = load_task(load_config(RECIPE, [*TINY, *data, "data.validation_fraction=0", "data.test_fraction=0"]))
    (images, target, start, ratio), _ = next(iter(task.eval_dataset("train", Shard(0, 1, 4))))
    assert (task.labels, images.shape) == (("cat", "dog"), (4, 16, 16, 3))
    assert target["labels"].numpy().tolist()[:2] == [1, 0]
    assert target["true_boxes"][1].numpy().tolist() == [[0, 0, 5, 5], [10, 30, 20, 40]]
    assert target["valid"].numpy().tolist()[:2] == [[True, False], [True, True]]
    assert target["sizes"][0].numpy().tolist() == [20, 40]
    np.testing.assert_allclose(ratio[0], 0.8)
    assert start[0].numpy().tolist() == [0, 8]


@pytest.mark.slow
def test_dense_test_skips_an_unreadable_image_and_orders_scales(tmp_path, strategies):
    """In its place the pipeline has one pixel, on which no window fits. R-CNN warps from the largest scale."""
    annotated_folder(tmp_path)
    pixels = np.random.RandomState(0).randint(0, 256, (20, 40, 3), np.uint8)
    tf.io.write_file(str(tmp_path / "train/b.png"), tf.io.encode_png(pixels))
    (tmp_path / "train/a.png").write_bytes(b"no image")
    data = [f"data.name=annotated:{tmp_path}", "data.image_size=16", "data.crop=center"]
    data += ["data.validation_fraction=0", "data.test_fraction=0", "data.on_unreadable_image=skip"]
    data += ["localizer.rcnn=true", "localizer.proposals=3"]
    task = tiny_task(load_config(RECIPE, [*TINY, *data]))
    keras.utils.set_random_seed(0)
    model = task.build_model()
    for layer in (model.scores, model.rcnn.scores, model.rcnn.deltas):
        layer.kernel.assign(30 * layer.kernel)
    found = list(dense_outputs(task, model, strategies[1], "train", (20, 16), lambda batches, *_: batches))
    assert [each["weights"].tolist() for each in found] == [[0], [1]]
    whole = [resize_shorter_side(tf.constant(pixels), side)[None] for side in (16, 20)]
    expected, oracle = dense_locate(model)(whole, tf.constant([0]), tf.constant([[20.0, 40.0]]))
    np.testing.assert_allclose(found[1]["scores"], expected.scores, rtol=1e-4)
    np.testing.assert_allclose(found[1]["oracle_boxes"], oracle, atol=1e-3)


def test_prepared_images_name_the_recipe_of_localization(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    annotated_folder(tmp_path / "images")
    entry.call("prepare-data", [f"annotated:{tmp_path / 'images'}", str(tmp_path / "records")])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Next: keras-resnet train --config=localization/imagenet_r101 --set data.name=tfrecord:")


def test_image_of_several_classes_is_named(monkeypatch):
    monkeypatch.setattr(scenes, "SCENES", {"train": 4, "validation": 4, "test": 4})
    task = load_task(load_config(RECIPE, [*TINY, "data.name=scenes"]))
    assert [line for line in task.eval_image_errors("validation", 0) if "classes of objects; expected one" in line]
    assert task.eval_image_errors("validation", 0)[0].startswith("scenes validation image ")
    with pytest.raises(tf.errors.InvalidArgumentError, match="classes of objects; expected one"):
        list(task.eval_dataset("validation", Shard(0, 1, 4)))


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["data.name=digits"], "data.name: digits has a class for each image, and this needs boxes"),
        (["data.mixup=0.2"], "data.mixup: does not move boxes"),
        (["data.resize_range=[32, 80]"], "data.resize_range: a shorter side of 32 is less than 64 in training"),
        (["localizer.stage=4"], "localizer.stage: scene_resnet14 has 3 stages"),
        (["localizer.anchor_negative_iou=0.9"], "localizer.anchor_negative_iou: 0.9 is more than anchor_positive_iou"),
        (["train.remat=true"], "train.remat: is not possible with the task localization"),
    ],
)
def test_wrong_configuration_is_one_line(assignments, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_task(load_config(RECIPE, assignments)).check_training()
    assert "\n" not in str(error.value)


def test_localizer_starts_from_a_classifier_or_a_localizer(small_task, tmp_path):
    """A localizer's options come with its weights; where its classifier is meant, a line says what is left out."""
    classifier = build(SPECS["scene_resnet14"], classes=10, input_shape=(32, 32, 3), mean=(10.0, 20.0, 30.0))
    path = str(tmp_path / "classifier.safetensors")
    save_weights(classifier, path, classifier.description.to_metadata())
    task = load_task(load_config(RECIPE, [*TINY, f"model.weights={path}"]))
    task.config = filled_in_from_weights(task.config)
    model = task.build_model()
    assert task.start_from(model) == f"{path}; the boxes new"
    assert model.description.preprocessing.mean == (10.0, 20.0, 30.0)
    for name in ("stem_conv/kernel", "logits/kernel"):
        np.testing.assert_array_equal(*(named_variables(each)[name].numpy() for each in (model, classifier)))

    path = str(tmp_path / "localizer.safetensors")
    save_weights(model, path, model.description.to_metadata())
    pretrained = load_pretrained(path)
    assert pretrained.classes == 10
    left_out = "without head/conv, head/deltas, head/scores"
    assert pretrained.assumed == (f"only its classifier is meant, {left_out}",)
    config = "task: localization\nmodel: {name: scene_resnet14}\ndata: {name: scene_objects}\ntrain: {steps: 1}\n"
    (tmp_path / "other.yaml").write_text(config)
    other = load_config(str(tmp_path / "other.yaml"), [f"model.weights={path}", "localizer.anchor_samples=4"])
    other = filled_in_from_weights(other)
    assert (other.localizer.channels, other.localizer.anchor_sizes) == (64, (20, 28, 40))
    assert (other.localizer.anchor_samples, other.localizer.top_k) == (4, 5)
    task = load_task(other)
    model = task.build_model()
    assert task.start_from(model) == path


@pytest.fixture(scope="module")
def trained(small_task, strategies, tmp_path_factory):
    """Returns the folder of a finished run, of two replicas."""
    folder = RunFolder(str(tmp_path_factory.mktemp("localizer") / "run"))
    folder.claim(small_task.config, small_task.description)
    fit(small_task, strategies[2], folder)
    return folder


@pytest.mark.slow
def test_run_has_losses_and_errors(trained):
    lines = [json.loads(line) for line in pathlib.Path(trained.metrics).read_text().splitlines()]
    last = {key: value for line in lines for key, value in line.items()}
    assert last["train/loss"] == pytest.approx(sum(last[f"train/{name}"] for name in LOSSES[:3]), rel=1e-5)
    assert 0 <= last["validation/topk_localization_error"] <= last["validation/top1_localization_error"] <= 100
    assert pathlib.Path(trained.path, "examples.png").stat().st_size > 1000


@pytest.mark.slow
def test_evaluate_has_both_protocols_and_the_center_box(trained, tmp_path, capsys):
    entry.call("evaluate", [trained.path, "--split=test", f"--report={tmp_path / 'report'}"])
    printed = capsys.readouterr().out
    assert "center box" in printed
    assert "5 images, k = 3" in printed
    measured = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert {"oracle_error", "center_box_error", "topk_error"} <= set(measured)
    assert len((tmp_path / "report" / "classes.csv").read_text().splitlines()) == 11
    arguments = [trained.path, "--split=test", "--protocol=dense"]
    entry.call("evaluate", [*arguments, "--scales=64", f"--report={tmp_path / 'dense'}"])
    dense = json.loads((tmp_path / "dense" / "evaluation.json").read_text())
    assert {name for name in measured if measured[name] != dense[name]} == {"protocol"}  # the crop is the whole image
    entry.call("evaluate", arguments)
    assert "on scene_objects, test, dense" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="--scales: 32 is less than 64, the size of the network's input"):
        entry.call("evaluate", [*arguments, "--scales=32"])
    with pytest.raises(ConfigError, match="--scales: requires --protocol=dense, got none"):
        entry.call("evaluate", [trained.path, "--scales=64"])
    with pytest.raises(ConfigError, match="is a run of localization; a folder of the Hub holds a classifier"):
        entry.call("package-for-hub", [trained.path, str(tmp_path / "hub")])


@pytest.mark.slow
def test_every_exported_format_finds_what_the_run_finds(trained, tmp_path, capsys):
    output = tmp_path / "out"
    flags = ["--formats=saved_model,litert,onnx", "--precision=float32,float16"]
    entry.call("export", [f"--workdir={trained.path}", f"--output={output}", *flags])
    report = json.loads((output / "1" / "export_report.json").read_text())
    operators = next(each["operators"] for each in report["artifacts"] if each["format"] == "litert")
    assert not {name for name in operators if name.startswith(("Flex", "CUSTOM"))}
    path = str(tmp_path / "wide.png")
    pixels = np.random.RandomState(3).randint(0, 255, (60, 200, 3), np.uint8)
    tf.io.write_file(path, tf.io.encode_png(pixels))
    answers = []
    for model in (trained.path, output, *(each["path"] for each in report["artifacts"])):
        if "float16" in str(model):
            continue
        capsys.readouterr()
        arguments = [str(model), path, "--format=json", "--min_score=0", f"--plot={tmp_path / 'plot.png'}"]
        entry.call("predict", arguments)
        answers.append(json.loads(capsys.readouterr().out)[0]["predictions"])
    assert len(answers[0]) == 3
    assert min(each["bbox"][0] for each in answers[0]) >= 70  # the crop is in the middle
    for others in answers[1:]:
        assert [each["label"] for each in others] == [each["label"] for each in answers[0]]
        for one, other in zip(answers[0], others, strict=True):
            assert other["score"] == pytest.approx(one["score"], abs=1e-4)
            assert other["bbox"] == pytest.approx(one["bbox"], abs=0.05)


@pytest.mark.slow
def test_second_stage_trains_on_a_run_and_is_exported_with_it(
    trained, small_task, strategies, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(SPECS, "scene_resnet14", small_task.description.spec)
    recipe = str(ROOT / "configs/localization/scenes_rcnn.yaml")
    weights = [f"model.weights={trained.best_weights}", "localizer.proposals=4"]
    config = filled_in_from_weights(load_config(recipe, [*TINY, *weights]))
    task = load_task(config)
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(task.config, task.description)
    fit(task, strategies[2], folder)
    last = json.loads(pathlib.Path(folder.metrics).read_text().splitlines()[-1])
    assert {"validation/oracle_error", "validation/topk_localization_error"} <= set(last)
    first, second = (read_tensors(each.last_weights) for each in (trained, folder))
    assert all(np.array_equal(second[name], value) for name, value in first.items())
    assert not np.array_equal(second["head/rcnn/stem_conv/kernel"], first["stem_conv/kernel"])
    output = tmp_path / "out"
    entry.call("export", [f"--workdir={folder.path}", f"--output={output}", "--formats=saved_model,litert"])
    path = str(tmp_path / "image.png")
    tf.io.write_file(path, tf.io.encode_png(scenes.paint_object("test", 0)[0]))
    answers = []
    for model in (folder.path, str(output)):
        capsys.readouterr()
        entry.call("predict", [model, path, "--format=json", "--min_score=0"])
        answers.append(json.loads(capsys.readouterr().out)[0]["predictions"])
    for one, other in zip(*answers, strict=True):
        assert (one["label"], other["bbox"]) == (other["label"], pytest.approx(one["bbox"], abs=0.05))


def test_second_localizer_is_refused_before_the_first_is_evaluated(monkeypatch):
    task = load_task(load_config(str(ROOT / "configs/localization/scenes.yaml")))
    monkeypatch.setattr(evaluate, "check_there", lambda path: None)
    monkeypatch.setattr(runs, "load_for_evaluation", lambda *_: (types.SimpleNamespace(), task))
    with pytest.raises(ConfigError, match="b: the task localization evaluates one network at a time"):
        entry.call("evaluate", ["a", "b"])
