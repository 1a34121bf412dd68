"""Very deep networks train with `fit` through one graph, and give the same results."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from keras_resnet import very_deep


def fitted(images, labels):
    keras.utils.set_random_seed(0)
    model = keras_resnet.CIFARResNet(20, input_shape=(8, 8, 3))
    model.compile(keras_resnet.SGD(0.05, weight_decay=1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    step, traces = model.train_step, []
    model.train_step = lambda batch: traces.append(batch) or step(batch)
    history = model.fit(images, labels, batch_size=5, epochs=2, shuffle=False, verbose=0)
    return model, history.history, len(traces)


@pytest.mark.slow
def test_very_deep_fit_gives_the_steps_of_keras(monkeypatch):
    random = np.random.RandomState(0)
    images, labels = random.uniform(0, 255, (10, 8, 8, 3)).astype(np.float32), random.randint(0, 10, 10)
    model, history, _ = fitted(images, labels)
    called = []
    monkeypatch.setattr(very_deep, "is_very_deep", lambda model: True)
    monkeypatch.setattr(very_deep, "bound_graph_rewriting", called.append)
    deep, deep_history, traces = fitted(images, labels)
    assert called == [deep]
    assert deep_history == history
    assert traces == 1, "a minute each for 1202 layers"
    for one, other in zip(model.get_weights(), deep.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(deep.optimizer.iterations) == 4


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [{"run_eagerly": True}, {"steps_per_execution": 2}])
def test_very_deep_fit_leaves_other_compile_options_to_keras(monkeypatch, arguments):
    monkeypatch.setattr(very_deep, "is_very_deep", lambda model: True)
    monkeypatch.setattr(very_deep, "train_function", lambda model: pytest.fail("used"))
    model = keras_resnet.CIFARResNet(20, input_shape=(8, 8, 3))
    model.compile("sgd", "sparse_categorical_crossentropy", **arguments)
    model.fit(np.zeros((4, 8, 8, 3)), np.zeros(4), batch_size=2, verbose=0)


def test_fit_weight_decay_by_hand():
    """Torch's rule by hand: w = 2, gradient 1, learning rate 0.1, momentum 0.9, decay 0.5, as in `optimizer.apply`."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras_resnet.SGD(0.1, 0.9, weight_decay=0.5), loss=lambda target, output: tf.reduce_sum(output))
    model.set_weights([np.array([[2.0]]), np.array([2.0])])
    for kernel, bias in ((1.8, 1.9), (1.43, 1.71)):  # the bias has no decay
        model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0)
        np.testing.assert_allclose(model.get_weights()[0], [[kernel]], rtol=1e-6)
        np.testing.assert_allclose(model.get_weights()[1], [bias], rtol=1e-6)
