"""Provides the layer whose kernels belong to classes: only those of the classes that are asked for are applied."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_resnet")
class PerClass(keras.layers.Layer):
    """features (N, P, F), classes (N, T) int -> (N, T, P, filters): a 1x1 convolution of its own for each class.

    A convolution with the outputs of all classes would compute and keep K * filters channels; of ImageNet's 1000
    classes and nine anchors, 9,000 scores and 36,000 deltas at each position.

    Args:
        classes: K, the number of classes.
        filters: outputs of a class at a position.
        **kwargs: as for `keras.layers.Layer`.
    """

    def __init__(self, classes: int, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.filters = classes, filters

    def build(self, features_shape, classes_shape):
        """Creates the kernels (K, F, filters) and the biases."""
        normal = keras.initializers.RandomNormal(stddev=0.01)
        shape = (self.classes, features_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        # One axis, as any other bias: weight decay of kernels leaves it out.
        self.bias = self.add_weight(shape=(self.classes * self.filters,), initializer="zeros", name="bias")

    def call(self, features, classes):
        """See the class."""
        inputs, classes = self.kernel.shape[1], tf.cast(classes, tf.int32)
        # Gathered from a reshaped kernel: the gradient of `reshape` is dense, as optimizers need it.
        kernels = tf.gather(tf.reshape(self.kernel, [self.classes, -1]), classes)
        biases = tf.gather(tf.reshape(self.bias, [self.classes, self.filters]), classes)
        count = classes.shape[1]
        kernels = tf.transpose(tf.reshape(kernels, [-1, count, inputs, self.filters]), [0, 2, 1, 3])
        outputs = tf.matmul(features, tf.reshape(kernels, [-1, inputs, count * self.filters]))
        positions = features.shape[1] or tf.shape(features)[1]
        outputs = tf.reshape(outputs, [-1, positions, count, self.filters])
        return tf.transpose(outputs, [0, 2, 1, 3]) + biases[:, :, None]

    def get_config(self):
        """Returns the arguments."""
        return super().get_config() | {"classes": self.classes, "filters": self.filters}
