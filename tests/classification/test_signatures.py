"""Tests the signatures of an exported classifier: row status, image sizes, strict mode."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.classification.signatures import classification_signatures
from keras_resnet.config import Export
from keras_resnet.data.transforms import for_test, prepare
from keras_resnet.description import Description, Preprocessing
from keras_resnet.specs import SPECS

DESCRIPTION = Description(
    spec=SPECS["cifar_resnet20"],
    preprocessing=Preprocessing(image_size=8, channels=3, crop_pct=0.5),
    labels=("red", "green", "blue"),
)


def average_colour(images):
    """Replaces the network; the logits are the average red, green and blue divided by 10."""
    pooled = tf.reduce_mean(images, (1, 2))
    return {"logits": pooled / 10, "features": pooled, "stage1": images}


def signatures(**settings):
    functions = classification_signatures(average_colour, DESCRIPTION, Export(**{"top_k": 2} | settings), stages=True)
    graph = functools.partial(tf.function, autograph=False)
    return {name: graph(function, input_signature=specs) for name, (function, specs) in functions.items()}


def color(*rgb, height=20, width=30):
    return np.full((height, width, 3), rgb, np.uint8)


def png(pixels):
    return tf.io.encode_png(pixels).numpy()


def test_serving_default_unreadable_rows_have_status():
    contents = [png(color(9, 0, 0)), b"<html>", png(color(0, 5, 200)), b""]
    answer = {name: value.numpy() for name, value in signatures()["serving_default"](tf.constant(contents)).items()}
    assert answer["classes"].tolist() == [[0, 1], [-1, -1], [2, 1], [-1, -1]]
    assert answer["labels"].tolist() == [[b"red", b"green"], [b"", b""], [b"blue", b"green"], [b"", b""]]
    assert answer["status"][0] == answer["status"][2] == b"OK"
    assert answer["status"][1] == b"is no JPEG, PNG, GIF, still WebP, or BMP of 24 or 32 bits a pixel or 256 grays"
    assert answer["status"][3] == b"has 0 bytes"
    e = np.exp([0.9, 0, 0])
    np.testing.assert_allclose(answer["scores"][0], [e[0] / e.sum(), e[1] / e.sum()], rtol=1e-5)
    assert not answer["scores"][[1, 3]].any()


@pytest.mark.slow
def test_serving_default_strict_unreadable_image_names_row():
    strict = signatures(on_invalid_image="fail")["serving_default"]
    good = png(color(9, 0, 0))
    assert strict(tf.constant([good, good]))["classes"].shape == (2, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1 has 0 bytes"):
        strict(tf.constant([good, b"", b"x"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "status"),
    [({"max_image_bytes": 50}, "has more than 50 bytes"), ({"max_image_pixels": 599}, "has more than 599 pixels")],
)
def test_serving_default_image_limits_from_settings(settings, status):
    good = png(color(9, 0, 0))
    assert signatures(**settings)["serving_default"](tf.constant([good]))["status"].numpy() == [status.encode()]
    assert (
        signatures(max_image_bytes=len(good), max_image_pixels=600)["serving_default"](tf.constant([good]))["status"]
        == b"OK"
    )


def test_predict_images_any_size_preprocessed_as_validation():
    random = np.random.RandomState(0)
    for height, width in ((20, 30), (7, 7), (16, 16), (100, 9)):
        images = random.randint(0, 256, (2, height, width, 3)).astype(np.uint8)
        expected = np.stack([for_test(tf.constant(image), 8, 0.5).numpy() for image in images])
        for name, dtype in (("predict_images", np.float32), ("predict_images_uint8", np.uint8)):
            answer = signatures()[name](tf.constant(images.astype(dtype)))
            np.testing.assert_allclose(answer["logits"], expected.mean((1, 2)) / 10, rtol=1e-5)
        np.testing.assert_allclose(
            signatures()["stages"](tf.constant(images, tf.float32))["stage1"], expected, atol=1e-3
        )


def test_features_images_of_model_size_are_unchanged():
    images = np.random.RandomState(0).randint(0, 256, (3, 8, 8, 3)).astype(np.float32)
    answer = signatures()["features"](tf.constant(images))["features"]
    np.testing.assert_allclose(answer, images.mean((1, 2)), rtol=1e-5)


def test_predict_images_extreme_aspect_ratio_raises():
    with pytest.raises(tf.errors.InvalidArgumentError, match="one at most 64 times the other"):
        signatures()["predict_images"](tf.zeros((1, 1, 65, 3)))


def test_prepare_bicubic_equals_pillow():
    """The result equals Pillow's, which timm tests its weights with, up to Pillow's rounding after each pass (two)."""
    from PIL import Image

    pixels = np.random.RandomState(0).randint(0, 256, (5, 5, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    bicubic = Preprocessing(image_size=16, channels=3, crop_pct=1.0, interpolation="bicubic")
    expected = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BICUBIC), np.float32)
    assert np.abs(prepare(tf.constant(pixels), bicubic).numpy() - expected).max() < 2
    bilinear = prepare(tf.constant(pixels), replace(bicubic, interpolation="bilinear")).numpy()
    assert np.abs(bilinear - expected).max() > 5
