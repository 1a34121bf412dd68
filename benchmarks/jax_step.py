"""Training step of ResNet-50 on Keras's JAX backend, in bfloat16, beside the rate of a bfloat16 matrix product.

    python benchmarks/jax_step.py [batch] [side] [steps] [repeats]

`jax.jit` over `model.stateless_call`, SGD with momentum and L2 in plain JAX, one fixed batch, on whatever device JAX
has. The share is 6 times the MACs of an image (2 operations each, forward and twice that backward) times the
images per second, of the operations per second of the product. Measured in turn, share repeat by repeat. `2 64 2 1`
tries it on a CPU.
"""

import functools
import os
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import keras
import numpy as np
from jax import numpy as jnp

from keras_resnet import SPECS, build, complexity

RATE, MOMENTUM, L2 = 0.001, 0.9, 1e-4
PRODUCTS = 10


def make_step(model):
    """(trainable, others, velocity, images, labels) -> the same three, new, and loss; the old ones are donated."""

    def loss_of(trainable, others, images, labels):
        logits, others = model.stateless_call(trainable, others, images, training=True)
        log_scores = jax.nn.log_softmax(logits.astype(jnp.float32))
        return -jnp.take_along_axis(log_scores, labels[:, None], 1).mean(), others

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(trainable, others, velocity, images, labels):
        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others, images, labels)
        gradients = [g + L2 * w if w.ndim > 1 else g for g, w in zip(gradients, trainable, strict=True)]
        velocity = [MOMENTUM * v - RATE * g for v, g in zip(velocity, gradients, strict=True)]
        return [w + v for w, v in zip(trainable, velocity, strict=True)], others, velocity, loss

    return step


def training(model, batch, side, steps):
    """() -> images per second."""
    images = jnp.asarray(np.random.RandomState(0).uniform(0, 255, (batch, side, side, 3)), jnp.float32)
    labels, step = jnp.arange(batch), make_step(model)
    trainable = [jnp.array(variable.value) for variable in model.trainable_variables]
    others = [jnp.array(variable.value) for variable in model.non_trainable_variables]
    state = trainable, others, [jnp.zeros_like(value) for value in trainable]

    def rate():
        nonlocal state
        began = time.perf_counter()
        for _ in range(steps):
            *state, loss = step(*state, images, labels)
        jax.block_until_ready(state)
        if not np.isfinite(loss):
            sys.exit(f"the loss is {loss}")
        return steps * batch / (time.perf_counter() - began)

    return rate


def product():
    """() -> operations per second of bfloat16 matrix products."""
    side = 1024 if jax.default_backend() == "cpu" else 8192
    matrix = jnp.asarray(np.random.RandomState(0).normal(0, side**-0.5, (side, side)), jnp.bfloat16)
    multiply = jax.jit(jnp.matmul)

    def rate():
        began, result = time.perf_counter(), matrix
        for _ in range(PRODUCTS):
            result = multiply(result, matrix)
        result.block_until_ready()
        return 2 * side**3 * PRODUCTS / (time.perf_counter() - began)

    return rate


def main(batch=256, side=224, steps=20, repeats=5):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build(SPECS["resnet50"], input_shape=(side, side, 3))
    operations = 6 * complexity(model).macs
    images, products = training(model, batch, side, steps), product()
    images(), products()
    rows = [(images(), products()) for _ in range(repeats)]
    shares = [100 * operations * trained / most for trained, most in rows]
    rate, most = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, batch {batch}, {side} px, bfloat16")
    print(f"  {rate:.1f} images/s; {operations * rate / 1e12:.3g} of {most / 1e12:.3g} TFLOP/s of a matrix product")
    print(f"  share {statistics.median(shares):.1f} % ({min(shares):.1f} to {max(shares):.1f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
