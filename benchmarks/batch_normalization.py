"""Training step of ResNet-50 with this package's batch normalization and with Keras's own.

    python benchmarks/batch_normalization.py [batch] [pairs]

The same network, loss and optimizer; only the layer's kernel differs. One process, in turn, ratio pair by pair.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import SPECS, build, layers
from keras_resnet.sgd import SGD


def make_step(batch, fused):
    """A traced training step on fixed images."""
    serves = layers.BatchNormalization._fused_kernel_serves
    if not fused:
        layers.BatchNormalization._fused_kernel_serves = lambda self, inputs: False
    model = build(SPECS["resnet50"])
    optimizer = SGD(0.01, weight_decay=1e-4)
    optimizer.build(model.trainable_variables)
    images = tf.constant(np.random.RandomState(0).uniform(0, 255, (batch, 224, 224, 3)).astype(np.float32))
    labels = tf.range(batch)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    step()
    layers.BatchNormalization._fused_kernel_serves = serves
    return step


def seconds(step, count=2):
    began = time.perf_counter()
    for _ in range(count):
        step().numpy()
    return (time.perf_counter() - began) / count


def main(batch=16, pairs=5):
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        fused, plain = make_step(batch, True), make_step(batch, False)
        times = [(seconds(fused), seconds(plain)) for _ in range(pairs)]
        ours, theirs = (batch / statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(slow / fast for fast, slow in times)
        print(f"{policy:<15} fused {ours:.1f} images/s   Keras {theirs:.1f} images/s   {ratio:.2f} times as fast")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
