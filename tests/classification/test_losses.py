"""The losses of classification against values by hand and against Keras's."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from keras_resnet.config import Train, load_config
from keras_resnet.errors import ConfigError
from keras_resnet.losses import LOSSES

DIGITS = str(ROOT / "configs/digits/resnet20.yaml")


def losses(name, targets, logits, **settings):
    train = Train(steps=1, loss=name, **settings)
    return LOSSES[name].function(tf.constant(targets), tf.constant(logits), train).numpy()


def softplus(x):
    return math.log1p(math.exp(x))


def test_cross_entropy_by_hand():
    """Logits log 1, log 2 and log 5 are shares 1/8, 2/8 and 5/8."""
    logits = [[0.0, math.log(2), math.log(5)]]
    assert losses("cross_entropy", [[0.0, 0.0, 1.0]], logits) == pytest.approx([math.log(8 / 5)])
    assert losses("cross_entropy", [[0.25, 0.75, 0.0]], logits) == pytest.approx(
        [0.25 * math.log(8) + 0.75 * math.log(4)]
    )
    smooth = (math.log(8) + math.log(4) + math.log(8 / 5)) * 0.1 + 0.7 * math.log(8 / 5)
    assert losses("cross_entropy", [[0.0, 0.0, 1.0]], logits, label_smoothing=0.3) == pytest.approx([smooth])


def test_binary_cross_entropy_by_hand():
    """-log sigmoid(x) is softplus(-x), and -log(1 - sigmoid(x)) is softplus(x); the mean is over four classes."""
    logits, targets = [[2.0, -1.0, 0.5, 0.0]], [[0.7, 0.3, 0.0, 0.0]]
    right, wrong = [softplus(-x) for x in logits[0]], [softplus(x) for x in logits[0]]
    soft = [0.7 * right[0] + 0.3 * wrong[0], 0.3 * right[1] + 0.7 * wrong[1], wrong[2], wrong[3]]
    assert losses("binary_cross_entropy", targets, logits) == pytest.approx([sum(soft) / 4])
    both = [right[0], right[1], wrong[2], wrong[3]]
    assert losses("binary_cross_entropy", targets, logits, target_threshold=0.2) == pytest.approx([sum(both) / 4])
    one = [right[0], *wrong[1:]]
    assert losses("binary_cross_entropy", targets, logits, target_threshold=0.3) == pytest.approx([sum(one) / 4])


def test_binary_cross_entropy_smooths_after_the_threshold():
    """With smoothing 0.2 of two classes, targets are 0.9 and 0.1."""
    actual = losses("binary_cross_entropy", [[1.0, 0.0]], [[1.0, 3.0]], target_threshold=0.5, label_smoothing=0.2)
    expected = 0.9 * softplus(-1) + 0.1 * softplus(1) + 0.1 * softplus(-3) + 0.9 * softplus(3)
    assert actual == pytest.approx([expected / 2])


def test_focal_by_hand():
    logits = [[0.0, math.log(2), math.log(5)]]
    assert losses("focal", [[0.0, 0.0, 1.0]], logits) == pytest.approx([(3 / 8) ** 2 * math.log(8 / 5)])
    assert losses("focal", [[0.0, 0.0, 1.0]], logits, focal_gamma=1.0) == pytest.approx([3 / 8 * math.log(8 / 5)])
    assert losses("focal", [[0.0, 0.0, 1.0]], logits, focal_gamma=0.0) == pytest.approx([math.log(8 / 5)])


def test_focal_equals_keras_for_mixed_and_smoothed_targets():
    random = np.random.RandomState(0)
    logits, targets = random.randn(20, 7).astype("float32"), random.dirichlet(np.ones(7), 20).astype("float32")
    for smoothing in (0.0, 0.2):
        expected = keras.losses.categorical_focal_crossentropy(
            targets, logits, alpha=1.0, gamma=3.0, from_logits=True, label_smoothing=smoothing
        )
        actual = losses("focal", targets, logits, focal_gamma=3.0, label_smoothing=smoothing)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_finite_with_its_gradient_at_large_logits(name):
    logits = tf.constant([[200.0, -200.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = LOSSES[name].function(tf.constant([[0.0, 1.0, 0.0]]), logits, Train(steps=1, loss=name))
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, logits)).all()


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["train.target_threshold=0.2"],
            "train.target_threshold: is an option of binary_cross_entropy, not of train.loss",
        ),
        (
            ["train.loss=binary_cross_entropy", "train.focal_gamma=1"],
            "train.focal_gamma: is an option of focal, not of",
        ),
        (["train.loss=focl"], 'train.loss: got "focl"; did you mean "focal"'),
    ],
)
def test_option_of_another_loss_is_refused(assignments, message):
    with pytest.raises(ConfigError) as error:
        load_config(DIGITS, assignments)
    assert message in str(error.value)


def test_loss_of_classification_is_refused_for_boxes():
    with pytest.raises(ConfigError, match=r"train\.loss: is for the task classification, not for detection; omit it"):
        load_config(str(ROOT / "configs/detection/scenes.yaml"), ["train.loss=focal"])
