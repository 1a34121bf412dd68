"""Optimizers against other implementations over twelve steps in float64: Torch's, and the papers' formulas in NumPy."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import GOLDEN

from keras_resnet.config import Config
from keras_resnet.training.optimizer import build_optimizer

STEPS, RATE, DECAY, BETAS, EPSILON = 12, 0.02, 0.3, (0.8, 0.95), 1e-12


def problem():
    """Inputs (16, 6), targets (16, 3), kernel (6, 5), bias (5,), kernel (5, 3), bias (3,)."""
    random = np.random.default_rng([2015, 12])
    return [random.standard_normal(shape) for shape in ((16, 6), (16, 3), (6, 5), (5,), (5, 3), (3,))]


def loss_and_gradients(x, y, first, shift, second, offset):
    """Returns the mean squared error of tanh(x first + shift) second + offset, and its gradients."""
    hidden = np.tanh(x @ first + shift)
    error = hidden @ second + offset - y
    of_output = 2 * error / error.size
    of_hidden = of_output @ second.T * (1 - hidden**2)
    gradients = [x.T @ of_hidden, of_hidden.sum(0), hidden.T @ of_output, of_output.sum(0)]
    return (error**2).mean(), gradients


def keras_trajectory(name, **train):
    """Returns the losses of this package's optimizer, and the variables after the last step."""
    x, y, *arrays = problem()
    config = {"steps": STEPS, "optimizer": name, "learning_rate": RATE, "weight_decay": DECAY, "schedule": "constant"}
    variables = [keras.Variable(array) for array in arrays]
    optimizer = build_optimizer(Config.model_validate({"train": config | train}).train, variables)
    losses = []
    for _ in range(STEPS):
        loss, gradients = loss_and_gradients(x, y, *map(np.asarray, variables))
        optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        losses.append(loss)
    return losses, [variable.numpy() for variable in variables]


def assert_same(actual, losses, variables, tolerance):
    np.testing.assert_allclose(actual[0], losses, rtol=tolerance)
    assert losses[-1] < 0.9 * losses[0]
    for value, expected in zip(actual[1], variables, strict=True):
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "train"), [("adamw", {}), ("muon", {"momentum": 0.9, "learning_rate": 0.05})], ids=["adamw", "muon"]
)
def test_optimizer_gives_the_trajectory_of_torch(float64, name, train):
    """Keras adds its epsilon at another place than Torch, so that the bound is above rounding."""
    golden = json.loads((GOLDEN / "optimizers_torch.json").read_text())[name]
    actual = keras_trajectory(name, betas=BETAS, epsilon=EPSILON, **train)
    assert_same(actual, golden["losses"], golden["variables"], 1e-6)


def numpy_trajectory(step):
    """Returns losses and variables with `step`: (variable, gradient, its state {}, number of the step) -> variable."""
    x, y, *variables = problem()
    states, losses = [{} for _ in variables], []
    for number in range(1, STEPS + 1):
        loss, gradients = loss_and_gradients(x, y, *variables)
        losses.append(loss)
        variables = [step(*each, number) for each in zip(variables, gradients, states, strict=True)]
    return losses, variables


def norm(x):
    return np.sqrt((x**2).sum())


def lamb(w, g, state, t):
    """You et al. 2020, algorithm 2, with phi the identity; biases as in timm, without decay and ratio."""
    state["m"] = BETAS[0] * state.get("m", 0) + (1 - BETAS[0]) * g
    state["v"] = BETAS[1] * state.get("v", 0) + (1 - BETAS[1]) * g**2
    r = state["m"] / (1 - BETAS[0] ** t) / (np.sqrt(state["v"] / (1 - BETAS[1] ** t)) + EPSILON)
    if w.ndim < 2:
        return w - RATE * r
    r = r + DECAY * w
    return w - RATE * norm(w) / norm(r) * r


def lars(w, g, state, t):
    """You et al. 2017, algorithm 1, with trust coefficient 0.1."""
    decay, rate = (DECAY, RATE * 0.1 * norm(w) / (norm(g) + DECAY * norm(w))) if w.ndim > 1 else (0, RATE)
    state["v"] = 0.9 * state.get("v", 0) + rate * (g + decay * w)
    return w - state["v"]


def lion(w, g, state, t):
    """Chen et al. 2023, algorithm 2."""
    m = state.get("m", np.zeros_like(w))
    state["m"] = BETAS[1] * m + (1 - BETAS[1]) * g
    return w - RATE * (np.sign(BETAS[0] * m + (1 - BETAS[0]) * g) + (DECAY * w if w.ndim > 1 else 0))


@pytest.mark.parametrize(
    ("name", "step", "train"),
    [
        ("lamb", lamb, {"betas": BETAS, "epsilon": EPSILON}),
        ("lars", lars, {"trust_coefficient": 0.1}),
        ("lion", lion, {"betas": BETAS}),
    ],
    ids=["lamb", "lars", "lion"],
)
def test_optimizer_gives_the_trajectory_of_its_paper(float64, name, step, train):
    assert_same(keras_trajectory(name, **train), *numpy_trajectory(step), 1e-12)


def test_muon_updates_a_convolution_as_the_matrix_of_its_filters(float64):
    """A kernel (3, 3, 2, 4) as a matrix (18, 4): the singular values of its step are near rate * 0.2 * sqrt(18)."""
    random = np.random.default_rng(0)
    values, gradient = random.standard_normal((2, 3, 3, 2, 4))
    train = {"steps": 1, "optimizer": "muon", "learning_rate": 1.0, "weight_decay": 0.0, "schedule": "constant"}
    moved = []
    for shape in ((3, 3, 2, 4), (18, 4)):
        kernel = keras.Variable(values.reshape(shape))
        optimizer = build_optimizer(Config.model_validate({"train": train}).train, [kernel])
        optimizer.apply([tf.constant(gradient.reshape(shape))], [kernel])
        moved.append(values.reshape(18, 4) - kernel.numpy().reshape(18, 4))
    np.testing.assert_array_equal(*moved)
    assert np.linalg.svd(moved[0])[1] == pytest.approx(0.2 * np.sqrt(18) * np.ones(4), rel=0.35)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_muon_leaves_the_classifier_to_adam(name):
    """Adam's first step is the learning rate in every element."""
    with keras.name_scope("logits"):
        kernel = keras.Variable(tf.zeros((2, 3)), name="kernel")
    train = {"steps": 1, "optimizer": name, "learning_rate": 0.5, "weight_decay": 0.0, "schedule": "constant"}
    optimizer = build_optimizer(Config.model_validate({"train": train}).train, [kernel])
    optimizer.apply([tf.constant([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])], [kernel])
    np.testing.assert_allclose(kernel.numpy(), [[-0.5, 0.5, -0.5], [-0.5, -0.5, 0.5]], rtol=1e-4)
