"""Prints 1 where TensorFlow uses oneDNN's kernels on this CPU by default, else 0 (x86 without AVX-512, for one).

TensorFlow does not say; a channels-first convolution on a CPU, which oneDNN alone has, tells.
"""

import os

os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

with tf.device("CPU:0"):
    try:
        tf.nn.conv2d(tf.zeros((1, 1, 4, 4)), tf.zeros((3, 3, 1, 1)), 1, "SAME", data_format="NCHW")
        print(1)
    except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError):
        print(0)
