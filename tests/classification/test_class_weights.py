"""Tests of train.class_weights: their values, the loss, and what they change in a run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.classification.class_weights import class_weights, weights_text
from keras_resnet.classification.task import Classification
from keras_resnet.config import Config, load_config
from keras_resnet.errors import ConfigError
from keras_resnet.training.start import train_run

NAMES = ("cat", "dog", "hen")


def test_balanced_weights_are_n_by_k_and_the_number_of_the_class():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    np.testing.assert_allclose(class_weights("balanced", NAMES, labels), [10 / 18, 10 / 9, 10 / 3], rtol=1e-6)
    assert class_weights("balanced", NAMES, labels)[labels].mean() == pytest.approx(1)
    np.testing.assert_allclose(class_weights("balanced", NAMES, np.array([0, 0, 0, 2])), [4 / 6, 1, 2], rtol=1e-6)


def test_named_weights_leave_the_others_at_1():
    assert class_weights({"dog": 5, "hen": 0}, NAMES, None).tolist() == [1, 5, 0]
    assert class_weights(None, NAMES, None) is None
    assert weights_text(np.array([1, 2.5, 1 / 3]), NAMES) == {"weights": "cat 1, dog 2.5, hen 0.3333"}


def test_class_weights_that_fit_no_class_or_set_are_refused():
    with pytest.raises(ConfigError, match=r'^train.class_weights: no class "dgo"; did you mean "dog"'):
        class_weights({"dgo": 2}, NAMES, None)
    with pytest.raises(ConfigError, match=r"^train.class_weights: balanced needs labels that are known"):
        class_weights("balanced", NAMES, None)


@pytest.mark.parametrize("value", ["balancd", "{cat: -1}", "{cat: x}", "3", "[1, 2]", "{}"])
def test_class_weights_of_another_form_are_refused(tmp_path, value):
    (tmp_path / "config.yaml").write_text("train: {steps: 1}\n")
    with pytest.raises(ConfigError, match=r'^--set: train.class_weights: expected "balanced" or {class: weight >= 0}'):
        load_config(str(tmp_path / "config.yaml"), [f"train.class_weights={value}"])


def digits(**train):
    return Classification(Config.model_validate({"train": {"steps": 1, **train}, "data": {"name": "digits"}}))


def test_loss_of_an_image_is_multiplied_by_the_weight_of_its_class():
    task = digits(class_weights={"1": 3, "2": 0})
    logits = np.log(np.tile(np.arange(1.0, 11) / 55, (4, 1)))  # digit k has the score (k + 1) / 55
    targets = np.eye(10, dtype=np.float32)[[0, 1, 2, 1]]
    targets[3] = 0.5 * targets[1] + 0.5 * targets[2]  # mixed: weight 0.5 * 3 + 0.5 * 0

    def model(images, training):
        return tf.constant(logits, tf.float32)

    weights = tf.constant([1.0, 1, 1, 0.5])
    losses, sums = task.loss(model, ((None, tf.constant(targets)), weights))
    mixed = -0.5 * np.log(2 / 55) - 0.5 * np.log(3 / 55)
    expected = [-np.log(1 / 55), -3 * np.log(2 / 55), 0, 0.5 * 1.5 * mixed]
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    assert float(sums["loss"]) == pytest.approx(sum(expected), rel=1e-5)


def test_evaluation_and_defaults_do_not_weigh_classes():
    plain, weighted = digits(), digits(class_weights="balanced")
    assert plain.class_weights is None
    assert plain.overview(plain.build_model()).keys() == weighted.overview(weighted.build_model()).keys() - {"weights"}
    model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    batch = (tf.ones((2, 8, 8, 1)), tf.constant([1, 2])), tf.ones(2)
    assert {k: float(v) for k, v in plain.evaluate(model, batch).items()} == {
        k: float(v) for k, v in weighted.evaluate(model, batch).items()
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"class_weights": {"ten": 2}}}, r'^train.class_weights: no class "ten"'),
        ({"data": {"name": "synthetic", "sampling": "sqrt", "image_size": 8}}, r"^data.sampling: sqrt needs labels"),
    ],
)
def test_refused_run_makes_no_folder(values, message, tmp_path):
    values = {"train": {"steps": 1}, "data": {"name": "digits"}} | values
    config = Config.model_validate(values | {"train": {"steps": 1} | values["train"]})
    with pytest.raises(ConfigError, match=message):
        train_run(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
