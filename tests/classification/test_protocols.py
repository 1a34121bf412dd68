"""Tests every protocol against NumPy, image by image, and metrics against their definitions."""

import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.classification import protocols
from keras_resnet.classification.metrics import (
    by_class,
    cross_entropies,
    measure,
    top_error,
    wilson_interval,
    worst_errors,
)
from keras_resnet.classification.protocols import Predictions, default_scales, ensemble, predict, ten_crops
from keras_resnet.config import Config
from keras_resnet.data.transforms import resized_side
from keras_resnet.errors import ConfigError
from keras_resnet.task import load_task
from keras_resnet.training.metrics import Evaluator


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """Returns a folder of images of irregular sizes, 7 in each of two classes."""
    folder = tmp_path_factory.mktemp("sized")
    random = np.random.RandomState(0)
    for label in ("a", "b"):
        (folder / label).mkdir()
        for i in range(7):
            height, width = random.randint(33, 71, 2)
            pixels = random.randint(0, 256, (5, 7, 3), np.uint8)
            Image.fromarray(pixels).resize((width, height)).save(folder / label / f"{i}.png")
    return folder


def start(folder, strategy, batch_size=4):
    config = {
        "model": {"name": "cifar_resnet8"},
        "data": {"name": f"folder:{folder}", "image_size": 32, "validation_fraction": 0, "test_fraction": 0},
        "train": {"steps": 1},
        "eval": {"batch_size": batch_size, "crop_pct": 0.8},
        "export": {"top_k": 2},
    }
    task = load_task(Config.model_validate(config))
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = task.build_model()
    for layer in model.layers:  # so that predictions differ
        if layer.name == "logits":
            layer.kernel.assign(np.random.RandomState(0).normal(0, 1, layer.kernel.shape))
    return task, model


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def pixels_of(task, index):
    with Image.open(task.images.split("train").source(index)) as image:
        return np.asarray(image.convert("RGB"), np.float32)


def shorter_side(image, side):
    scale = side / min(image.shape[:2])
    size = [round(s * scale) for s in image.shape[:2]]
    return tf.image.resize(image, size, antialias=True).numpy()


def single(task, model, image):
    resized = shorter_side(image, 40)
    top, left = (resized.shape[0] - 32) // 2, (resized.shape[1] - 32) // 2
    return softmax(model(resized[None, top : top + 32, left : left + 32], training=False).numpy())[0]


def ten_crop(task, model, image):
    resized = shorter_side(image, 40)
    down, right = resized.shape[0] - 32, resized.shape[1] - 32
    scores = []
    for mirror in (False, True):
        for top, left in ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)):
            view = resized[top : top + 32, left : left + 32]
            view = view[:, ::-1] if mirror else view
            scores.append(softmax(model(view[None], training=False).numpy())[0])
    return np.mean(scores, 0)


def multi_scale(task, model, image):
    features = keras.Model(model.input, model.get_layer("pool").input)
    kernel, bias = (np.asarray(v) for v in model.get_layer("logits").weights)
    scores = []
    for side in (32, 40):
        resized = shorter_side(image, side)
        for view in (resized, resized[:, ::-1]):
            # Convolutions accept any image size, so the same layers are called again.
            x = features(view[None], training=False).numpy()[0] if view.shape[:2] == (32, 32) else None
            if x is None:
                x = any_size_features(task, model, view)
            places = [
                x[i : i + 8, j : j + 8].mean((0, 1)) @ kernel + bias
                for i in range(x.shape[0] - 7)
                for j in range(x.shape[1] - 7)
            ]
            scores.append(softmax(np.mean(places, 0)))
    return np.mean(scores, 0)


def any_size_features(task, model, view):
    from keras_resnet.builder import build

    other = build(task.config.model.spec, classes=2, input_shape=(*view.shape[:2], 3))
    other.set_weights(model.get_weights())
    return keras.Model(other.input, other.get_layer("pool").input)(view[None], training=False).numpy()[0]


@pytest.mark.sampled("1-3-single-single")
@pytest.mark.parametrize(("protocol", "reference"), [("single", single), ("ten_crop", ten_crop)])
@pytest.mark.parametrize(("replicas", "batch_size"), [(1, 3), (1, 16), (2, 4)])
def test_predict_single_and_ten_crop_scores_equal_numpy(sized, strategies, protocol, reference, replicas, batch_size):
    task, model = start(sized, strategies[replicas], batch_size)
    said = predict(task, model, strategies[replicas], "train", protocol)
    assert said.indices.tolist() == list(range(14))
    assert said.labels.tolist() == [0] * 7 + [1] * 7
    for i in range(14):
        np.testing.assert_allclose(said.scores[i], reference(task, model, pixels_of(task, i)), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_predict_multi_scale_scores_equal_numpy(sized, strategies, replicas):
    task, model = start(sized, strategies[replicas])
    said = predict(task, model, strategies[replicas], "train", "multi_scale", (32, 40))
    assert said.labels.tolist() == [0] * 7 + [1] * 7
    for i in (0, 5, 13):
        np.testing.assert_allclose(said.scores[i], multi_scale(task, model, pixels_of(task, i)), rtol=1e-3, atol=1e-5)


def test_ten_crops_positions_and_mirroring():
    image = np.arange(6 * 8, dtype=np.float32).reshape(6, 8, 1)
    crops = ten_crops(tf.constant(image), 4).numpy()[..., 0]
    assert crops[:5, 0, 0].tolist() == [0, 4, 16, 20, 10]
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])


def test_default_scales_equal_paper():
    assert default_scales(224) == (224, 256, 384, 480, 640)
    assert default_scales(32) == (32, 37, 55, 69, 91)


def test_ensemble_averages_scores():
    one, other = (Predictions(np.array([scores]), np.array([0]), np.array([0])) for scores in ([0.6, 0.4], [0.1, 0.9]))
    np.testing.assert_allclose(ensemble([one, other]).scores, [[0.35, 0.65]])


SCORES = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2], [0.1, 0.6, 0.3]])
LABELS = np.array([0, 1, 1, 2])


def test_top_error_wilson_interval_and_cross_entropies():
    error = top_error(SCORES, LABELS)
    assert (error.wrong, error.images, error.percent) == (3, 4, 75.0)  # the first class wins a tie, as in argmax
    assert top_error(SCORES, LABELS, 2).wrong == 0
    assert wilson_interval(0, 359) == pytest.approx((0.0, 1.0587), abs=1e-3)
    assert wilson_interval(10, 100) == pytest.approx((5.5229, 17.4366), abs=1e-3)  # Wilson 1927, by hand
    assert cross_entropies(SCORES, LABELS).mean() == pytest.approx(-np.log([0.5, 0.2, 0.4, 0.3]).mean())


def test_by_class_and_worst_errors():
    rows = by_class(np.array([[1, 0, 0], [1, 0, 1], [0, 1, 0]]), ("x", "y", "z"))
    assert [(row["images"], row["error"], row["precision"]) for row in rows] == [
        (1, 0.0, 50.0),
        (2, 100.0, 0.0),
        (1, 100.0, 0.0),
    ]
    assert [row["mistaken_for"] for row in rows] == ["", "x", "y"]
    assert worst_errors(SCORES, LABELS, 2).tolist() == [1, 3]


@pytest.mark.slow
@pytest.mark.parametrize("size", [24, 33])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.6])
def test_evaluate_protocol_images_equal_validation_images(sized, crop_pct, interpolation, size):
    """Images are bitwise equal for the single crop, the center of ten crops, and the resizing of each protocol."""
    config = {
        "data": {"name": f"folder:{sized}", "image_size": size},
        "train": {"steps": 1},
        "eval": {"crop_pct": crop_pct, "interpolation": interpolation},
        "export": {"top_k": 2},
    }
    task = load_task(Config.model_validate(config))
    preprocessing = task.description.preprocessing
    for index in range(3):
        stored = task.images.split("train").read(tf.constant(index, tf.int64))
        validation = task._prepare(*stored)[0].numpy()
        np.testing.assert_array_equal(protocols._single(preprocessing)(*stored)[0][0], validation)
        np.testing.assert_array_equal(protocols._ten_crops(preprocessing)(*stored)[0][4], validation)
        whole = protocols._at_scales([resized_side(preprocessing)], preprocessing)(*stored)[0][0][0].numpy()
        top, left = ((side - size) // 2 for side in whole.shape[:2])
        np.testing.assert_array_equal(whole[top : top + size, left : left + size], validation)


@pytest.mark.slow
@pytest.mark.parametrize(("crop_pct", "interpolation"), [(1.0, "bilinear"), (0.6, "bicubic")])
def test_evaluate_single_metrics_equal_validation_metrics(sized, strategies, crop_pct, interpolation):
    task, model = start(sized, strategies[1])
    preprocessing = replace(model.description.preprocessing, crop_pct=crop_pct, interpolation=interpolation)
    model.description = replace(model.description, preprocessing=preprocessing)
    task = load_task(task.config, model.description)
    validation = Evaluator(task, model, strategies[1])("train")
    measured = measure(predict(task, model, strategies[1], "train", "single"))
    assert measured["error"]["percent"] == pytest.approx(validation["error"], abs=1e-12)
    assert measured["loss"] == pytest.approx(validation["loss"], rel=1e-6)


def test_predict_multi_scale_smaller_than_the_network_is_one_line(sized, strategies):
    task, model = start(sized, strategies[1])
    with pytest.raises(ConfigError, match=r"^--scales: 24 is less than 32, the size of the network's input$"):
        predict(task, model, strategies[1], "train", "multi_scale", (40, 24))


@pytest.mark.slow
def test_predict_multi_scale_skips_an_unreadable_image(sized, strategies, tmp_path):
    """In its place the pipeline has one pixel, on which no window fits."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        shutil.copy(sized / label / "0.png", tmp_path / label / "0.png")
    task, model = start(tmp_path, strategies[1])
    task.config = task.config.model_copy(
        update={"data": task.config.data.model_copy(update={"on_unreadable_image": "skip"})}
    )
    whole = predict(task, model, strategies[1], "train", "multi_scale", (32,))
    (tmp_path / "a/0.png").write_bytes(b"no image")
    said = predict(task, model, strategies[1], "train", "multi_scale", (32,))
    assert (said.indices.tolist(), said.labels.tolist()) == ([1], [1])
    np.testing.assert_allclose(said.scores[0], whole.scores[1], rtol=1e-5)
