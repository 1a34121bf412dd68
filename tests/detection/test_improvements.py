"""The paper's improvements in testing: refinement with voting, context, several scales, ensembles."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tiny_task

from keras_resnet.builder import build
from keras_resnet.commands import entry
from keras_resnet.config import load_config
from keras_resnet.data import scenes
from keras_resnet.data.pipeline import Shard
from keras_resnet.detection.detections import Candidates, Detections
from keras_resnet.detection.evaluation import Evaluation
from keras_resnet.detection.improvements import ImprovedDetector, first_scales
from keras_resnet.detection.voting import voted
from keras_resnet.errors import ConfigError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS
from keras_resnet.training.fit import fit
from keras_resnet.weights.native import save_weights

C4 = str(ROOT / "configs/detection/scenes_c4.yaml")
LOCALIZER = str(ROOT / "configs/localization/scenes.yaml")
FPN = str(ROOT / "configs/detection/scenes.yaml")
SMALL = ["data.image_size=64", "detector.canonical_size=32", "train.steps=2", "train.warmup_steps=0"]
C4_SMALL = [*SMALL, "detector.anchor_sizes=[[16, 32]]"]
FPN_SMALL = [*SMALL, "detector.min_level=3", "detector.anchor_sizes=[[12, 17], [24, 34]]"]
IMAGES = np.random.RandomState(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 8, "validation": 4, "test": 4})
        yield


def model_of(path, settings, seed=0):
    """Returns a detector whose scores differ: those of new weights are all a tenth."""
    task = tiny_task(load_config(path, settings))
    keras.utils.set_random_seed(seed)
    model = task.build_model()
    kernel = model.box_head.get_layer("box_scores").kernel
    kernel.assign(10 * kernel)
    return task, model


@pytest.fixture(scope="module")
def c4():
    return model_of(C4, C4_SMALL)


def assert_same(found, expected):
    assert found.counts.numpy().tolist() == expected.counts.numpy().tolist()
    assert found.counts.numpy().min() > 3
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)


def test_voting_by_hand():
    """(0, 0, 10, 10) with .9 and (0, 0, 10, 12) with .3 overlap by 10/12: (10 * .9 + 12 * .3) / 1.2 = 10.5.

    Neither a box with an IoU below .5, nor one of another class, nor one below the threshold has a vote.
    """
    rows = [[0, 0, 10, 10], [0, 0, 10, 12], [0, 0, 10, 21], [0, 0, 10, 11]]
    boxes = np.zeros((1, 4, 2, 4), np.float32)
    boxes[0, :, 1] = rows
    boxes[0, :, 0] = [0, 0, 10, 15]
    scores = np.float32([[[0.8, 0.9], [0.8, 0.3], [0.8, 0.6], [0.8, 0.05]]])
    found = Detections(
        tf.constant([[[0.0, 0, 10, 10], [0, 0, 0, 0]]]),
        tf.constant([[0.9, 0]]),
        tf.constant([[1, 0]]),
        tf.constant([1]),
    )
    result = voted(found, Candidates(tf.constant(boxes), tf.constant(scores)), 0.05)
    np.testing.assert_allclose(result.boxes, [[[0, 0, 10, 10.5], [0, 0, 0, 0]]], rtol=1e-6)
    assert result.scores.numpy().tolist() == found.scores.numpy().tolist()


def test_adjacent_scales_by_hand():
    """A RoI of a quarter of the image has 50 pixels at 200 and 250 at 1000: 224 are between 800 and 1000."""
    scales = (200, 400, 600, 800, 1000)
    shares = tf.constant([0.25, 0.5, 1.0, 0.01, 2.0])
    assert first_scales(shares, scales, 224).numpy().tolist() == [3, 1, 0, 3, 0]
    assert first_scales(shares, (600,), 224).numpy().tolist() == [0] * 5


@pytest.mark.parametrize("scales", [(64,), (64, 64)])
def test_own_scale_equals_the_plain_detector(c4, scales):
    _, model = c4
    assert_same(ImprovedDetector([model], scales=scales).detect(IMAGES), model.detect(IMAGES))


def test_strides_of_small_scales_are_those_of_the_network(c4):
    """Twenty pixels are 5, 3 and 2 cells at strides of 4, 8 and 16, and ten pixels are 3, 2 and 1."""
    _, model = c4
    assert list(ImprovedDetector([model], scales=(10, 64))._detectors[0][10].anchors) == [3]
    pyramid = model_of(FPN, ["data.image_size=20", "detector.anchor_sizes=[[8], [12], [16]]"])[1]
    assert {level: len(anchors) // 2 for level, anchors in pyramid.anchors.items()} == {2: 25, 3: 9, 4: 4}
    maps = pyramid.feature_maps(IMAGES[:, :20, :20])
    assert {level: features.shape[1] for level, features in maps.items()} == {2: 5, 3: 3, 4: 2}


def test_ensemble_of_equal_detectors_equals_one(c4):
    _, model = c4
    assert_same(ImprovedDetector([model, model]).detect(IMAGES), model.detect(IMAGES))


@pytest.mark.slow
def test_improvements_of_a_pyramid_and_of_detectors_of_two_designs(c4):
    """Refinement of two equal detectors equals that of one, which differs from the plain one."""
    _, pyramid = model_of(FPN, FPN_SMALL)
    assert_same(ImprovedDetector([pyramid], scales=(64, 64)).detect(IMAGES), pyramid.detect(IMAGES))
    refined = ImprovedDetector([pyramid], refine=True).detect(IMAGES)
    assert_same(ImprovedDetector([pyramid, pyramid], refine=True).detect(IMAGES), refined)
    assert np.abs(refined.boxes - pyramid.detect(IMAGES).boxes).max() > 1
    both = ImprovedDetector([pyramid, c4[1]], refine=True, scales=(48, 96))
    assert both.image_size == (96, 96)
    found = both.detect(tf.image.resize(IMAGES, (96, 96)))
    assert found.counts.numpy().min() > 3
    assert 64 < found.boxes.numpy().max() <= 96 + 1e-3


def test_refinement_gives_the_boxes_of_the_best_classes_new_features(c4, monkeypatch):
    """The second call gets the best class's boxes of the first, and both compete at an IoU of .3."""
    _, model = c4
    detector, calls = ImprovedDetector([model], refine=True), []
    candidates = detector._candidates

    def recorded(maps, rois, real):
        calls.append((rois, candidates(maps, rois, real)))
        return calls[-1][1]

    monkeypatch.setattr(detector, "_candidates", recorded)
    found = detector.detect(IMAGES)
    (rois, first), (again, _) = calls
    assert rois.shape == again.shape
    best = np.argmax(first.scores, axis=-1)
    np.testing.assert_array_equal(
        again, np.take_along_axis(first.boxes.numpy(), best[..., None, None], axis=2)[:, :, 0]
    )
    assert found.counts.numpy().min() > 3


def test_context_doubles_what_the_siblings_read(c4):
    """The second half is what the RoI of the whole image has, the same for all RoIs of an image."""
    task, model = model_of(C4, [*C4_SMALL, "detector.context=true"])
    plain = c4[1]
    assert model.box_head.input.shape[1] == 2 * plain.box_head.input.shape[1]
    features = model.feature_maps(IMAGES)
    boxes = tf.constant([[[0.0, 0, 30, 30], [8, 8, 40, 64]]] * 2)
    rows = model.roi_vectors(model.pooled(features, boxes))
    whole = model.roi_vectors(model.pooled(features, tf.constant([[[0.0, 0, 64, 64]]] * 2)))
    inputs = tf.concat([rows, tf.repeat(whole, 2, axis=0)], axis=1)
    logits, _ = model.classify(features, boxes)
    np.testing.assert_allclose(tf.reshape(logits, [4, -1]), model.box_head(inputs)[0], rtol=1e-4, atol=1e-5)
    losses, _ = task.loss(model, next(iter(task.train_dataset(0, Shard(0, 1, 2)))))
    assert np.isfinite(losses).all()
    assert_same(ImprovedDetector([model], scales=(64, 64)).detect(IMAGES), model.detect(IMAGES))


def test_detectors_of_other_images_are_no_ensemble(c4):
    other = model_of(C4, [*C4_SMALL, "data.image_size=96"])[1]
    with pytest.raises(ValueError, match="need the same classes, image size"):
        ImprovedDetector([c4[1], other])


def test_detectors_of_other_images_are_refused_by_evaluate(c4, strategies):
    """The images of the first are those of all: with others, the second detector's data would not be what is named."""
    task, model = c4
    evaluation = Evaluation(strategies[1], "test", "coco", (), lambda batches, *_: batches)
    evaluation.add(task, model, "a")
    evaluation.add(task, model, "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 8, "validation": 4, "test": 3})
        other = tiny_task(load_config(C4, C4_SMALL))
    with pytest.raises(ConfigError, match=r"c: has other test images \(scenes\) than the first detector \(scenes\)"):
        evaluation.add(other, model, "c")


@pytest.mark.slow
def test_commands_take_improvements_and_several_runs(strategies, tmp_path, capsys, monkeypatch):
    folders = []
    for seed in (0, 1):
        task = tiny_task(load_config(C4, [*C4_SMALL, f"train.seed={seed}", "eval.batch_size=4"]))
        folders.append(RunFolder(str(tmp_path / str(seed))))
        folders[-1].claim(task.config, task.description)
        fit(task, strategies[1], folders[-1])
    one, two = (folder.path for folder in folders)
    capsys.readouterr()
    report = tmp_path / "report"
    entry.call("evaluate", [one, two, "--split=test", "--refine", "--scales=48,96", f"--report={report}"])
    printed = capsys.readouterr().out
    assert "on scenes, test, scales 48-96, refined, scores averaged\n" in printed
    assert "AP50" in printed
    measured = json.loads((report / "evaluation.json").read_text())
    assert (measured["scales"], measured["refine"], len(measured["networks"])) == ([48, 96], True, 2)
    entry.call("evaluate", [one, one, "--split=test"])
    twice = capsys.readouterr().out.splitlines()
    entry.call("evaluate", [one, "--split=test"])
    assert twice[3:] == capsys.readouterr().out.splitlines()[2:]
    monkeypatch.setattr(scenes, "OBJECTS", {"train": 8, "validation": 4, "test": 4})
    locator = tiny_task(load_config(LOCALIZER, ["train.steps=1", "train.warmup_steps=0", "train.eval_every=1"]))
    other = RunFolder(str(tmp_path / "localizer"))
    other.claim(locator.config, locator.description)
    fit(locator, strategies[1], other)
    with pytest.raises(ConfigError, match=f"{other.path}: is of the task localization, {one} of the task detection"):
        entry.call("evaluate", [one, other.path, "--split=test"])
    path = str(tmp_path / "wide.png")
    pixels = np.random.RandomState(3).randint(0, 255, (60, 200, 3), np.uint8)
    tf.io.write_file(path, tf.io.encode_png(pixels))
    entry.call("predict", [one, path, "--refine", "--scales=64,96", "--min_score=0"])
    assert "wide.png" in capsys.readouterr().out


@pytest.mark.parametrize("scales", ["4097", "7", "64,", "1e2"])
def test_scale_that_is_no_size_is_one_line(scales):
    expected = f"--scales={scales}: expected whole numbers >= 8 and <= 4096, such as 224,256,384"
    with pytest.raises(ConfigError, match=f"^{expected}$"):
        entry.call("evaluate", ["runs/none", f"--scales={scales}"])


def test_improvements_of_classifiers_are_refused(tmp_path):
    path = str(tmp_path / "weights.safetensors")
    save_weights(build(SPECS["cifar_resnet8"]), path)
    with pytest.raises(ConfigError, match="--refine and --scales are for runs and weights of detectors"):
        entry.call("predict", [path, str(ROOT / "docs/curves.png"), "--refine"])
