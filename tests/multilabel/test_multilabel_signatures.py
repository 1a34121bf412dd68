"""Tests the signatures and predictors of multi-label models: labels from their thresholds on."""

import functools
import json
from dataclasses import replace

import numpy as np
import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.description import Description, Preprocessing
from keras_resnet.inference.answers import Prediction
from keras_resnet.inference.postprocessing import labels_above
from keras_resnet.inference.writers import CsvWriter, JsonWriter, TableWriter
from keras_resnet.multilabel.signatures import multilabel_signatures
from keras_resnet.specs import SPECS

DESCRIPTION = Description(
    spec=SPECS["cifar_resnet8"],
    preprocessing=Preprocessing(image_size=8, channels=3, crop_pct=1.0),
    labels=("red", "green", "blue"),
    thresholds=(0.5, 0.75, 0.25),
)


def average_color(images):
    """Replaces the network; the score of a class is the average of its color / 256."""
    share = tf.reduce_mean(images, (1, 2)) / 256
    return {"logits": tf.math.log(share / (1 - share)), "features": share}


def signatures(**settings):
    functions = multilabel_signatures(average_color, DESCRIPTION, Export(**settings))
    graph = functools.partial(tf.function, autograph=False)
    return {name: graph(function, input_signature=specs) for name, (function, specs) in functions.items()}


def png(*rgb):
    return tf.io.encode_png(np.full((8, 8, 3), rgb, np.uint8)).numpy()


CONTENTS = [png(130, 160, 66), b"no image", png(200, 194, 0), png(126, 190, 62)]


def test_serving_default_answers_with_labels_from_their_thresholds_on():
    found = {name: value.numpy() for name, value in signatures()["serving_default"](tf.constant(CONTENTS)).items()}
    assert found["num_labels"].tolist() == [2, 0, 2, 0]  # thresholds of red, green and blue: 128, 192 and 64
    assert found["labels"].tolist()[0] == [b"red", b"blue", b""]
    assert found["labels"].tolist()[2] == [b"red", b"green", b""]
    assert found["classes"].tolist() == [[0, 2, -1], [-1, -1, -1], [0, 1, -1], [-1, -1, -1]]
    np.testing.assert_allclose(
        found["scores"][[0, 2]], [[130 / 256, 66 / 256, 0], [200 / 256, 194 / 256, 0]], rtol=1e-5
    )
    assert [status == b"OK" for status in found["status"]] == [True, False, True, True]


def test_top_k_limits_the_labels_of_an_answer():
    found = signatures(top_k=1)["serving_default"](tf.constant(CONTENTS))
    assert found["labels"].numpy().tolist() == [[b"red"], [b""], [b"red"], [b""]]
    assert found["num_labels"].numpy().tolist() == [1, 0, 1, 0]


def test_scores_of_other_signatures_are_sigmoids_of_all_classes():
    images = np.full((1, 8, 8, 3), (128, 160, 64), np.float32)
    for name in ("predict_images", "network"):
        np.testing.assert_allclose(signatures()[name](tf.constant(images))["scores"], [[0.5, 0.625, 0.25]], rtol=1e-5)


def test_serving_default_of_more_than_three_channels_takes_pixels():
    four = replace(
        DESCRIPTION, preprocessing=replace(DESCRIPTION.preprocessing, channels=4, mean=(0,) * 4, std=(1,) * 4)
    )
    function, (spec,) = multilabel_signatures(average_color, four, Export())["serving_default"]
    assert spec.shape[3] == 4
    np.testing.assert_allclose(function(tf.fill((1, 8, 8, 4), 64.0))["scores"], [[0.25] * 4], rtol=1e-5)


def test_labels_above_puts_the_best_accepted_label_first():
    logits = np.log([[1 / 3, 4.0, 9], [1, 1, 1 / 9]])  # scores 0.25 0.8 0.9, 0.5 0.5 0.1
    found = labels_above(logits, ("a", "b", "c"), (0.2, 0.9, 0.85), 3)
    assert [(each.classes, each.labels) for each in found] == [((2, 0), ("c", "a")), ((0,), ("a",))]
    np.testing.assert_allclose(found[0].scores, [0.9, 0.25])
    assert labels_above(logits, ("a", "b", "c"), (0.2, 0.9, 0.85), 1)[0].labels == ("c",)
    assert labels_above(logits, ("a", "b", "c"), (1, 1, 1), 3)[0] == Prediction((), (), ())


def test_writers_of_an_image_without_a_label():
    none = Prediction((), (), ())
    assert TableWriter(["a.png"]).row("a.png", none) == "a.png  no label\n"
    assert CsvWriter().row("a.png", none) == ""
    writer = JsonWriter()
    assert json.loads(writer.begin() + writer.row("a.png", none) + writer.end()) == [
        {"image": "a.png", "predictions": []}
    ]
