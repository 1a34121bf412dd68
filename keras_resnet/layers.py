"""Provides layers that Keras lacks: fused batch normalization, channels-first convolution on CPUs, padding, gates.

`flat_layers` lists the layers of a model that may contain other models.
"""

import contextlib
import contextvars

import keras
from keras import layers, ops

_FUSED_DTYPES = ("float32", "bfloat16", "float16")


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers of a model in their order; those of a model within it stand in its place."""
    found = []
    for layer in model.layers:
        found += flat_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found


_keeps_statistics = contextvars.ContextVar("keeps_statistics", default=False)


@contextlib.contextmanager
def kept_statistics(kept=True):
    """Stops the fused kernel of `BatchNormalization` from updating the moving statistics within this context.

    The layer still normalizes by the batch's statistics.
    """
    token = _keeps_statistics.set(kept)
    try:
        yield
    finally:
        _keeps_statistics.reset(token)


@keras.saving.register_keras_serializable("keras_resnet")
class BatchNormalization(layers.BatchNormalization):
    """x (N, H, W, C) -> (N, H, W, C), normalized per channel (Ioffe and Szegedy 2015).

    The layer has the arguments, variables and results of `keras.layers.BatchNormalization`. In training on
    the TensorFlow backend it runs TensorFlow's fused kernel, which reads the batch once instead of several
    times. All other cases use Keras's implementation: other backends, inference (which converters can fold
    into a convolution), float64, ranks other than 4, `synchronized=True` and masks.

    Args:
        frozen_statistics: normalize by the moving statistics in training too, and do not update them. Scale and shift
            are still learned.
        **kwargs: as for `keras.layers.BatchNormalization`.
    """

    def __init__(self, *args, frozen_statistics: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.frozen_statistics = frozen_statistics

    def get_config(self):
        return super().get_config() | {"frozen_statistics": self.frozen_statistics}

    def call(self, inputs, training=None, mask=None):
        if self.frozen_statistics:
            training = False
        if training and self.trainable and mask is None and self._fused_kernel_serves(inputs):
            return self._call_fused(inputs)
        return super().call(inputs, training=training, mask=mask)

    def _fused_kernel_serves(self, inputs):
        return (
            keras.backend.backend() == "tensorflow"
            and not self.synchronized
            and not self.renorm
            and len(inputs.shape) == 4
            and self.axis in (1, 3, -1, -3)
            and keras.backend.standardize_dtype(inputs.dtype) in _FUSED_DTYPES
        )

    def _call_fused(self, inputs):
        import tensorflow as tf  # for its kernels; among the modules below `data`, only this one does

        axis = self.axis % 4
        channels = inputs.shape[axis]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=ops.convert_to_tensor(self.gamma) if self.scale else tf.ones([channels]),
            offset=ops.convert_to_tensor(self.beta) if self.center else tf.zeros([channels]),
            epsilon=self.epsilon,
            data_format="NHWC" if axis == 3 else "NCHW",
            is_training=True,
        )
        if _keeps_statistics.get():
            return ops.cast(outputs, self.compute_dtype)
        # The kernel returns the sample variance, but Keras averages the population variance. Values that are known
        # while tracing are computed in Python: such small operations are most of a deep network's graph.
        pixels = inputs.shape.num_elements()
        known = bool(pixels)
        count = pixels // channels if known else tf.cast(tf.size(inputs, out_type=tf.int64) // channels, variance.dtype)
        population = (count - 1) / (count if known else tf.maximum(count, 1))
        for moving, batch, share in ((self.moving_mean, mean, 1), (self.moving_variance, variance, population)):
            average = ops.convert_to_tensor(moving)
            updated = average * self.momentum + batch * (share * (1 - self.momentum))
            # A replica may get no image of an uneven last batch; then the kernel's statistics are NaN.
            moving.assign(updated if known else tf.where(count > 0, updated, average))
        return ops.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable("keras_resnet")
class ChannelsFirstConv2D(layers.Conv2D):
    """x (N, C, H, W) -> (N, filters, H', W').

    The layer has the arguments and variables of `keras.layers.Conv2D` with `data_format="channels_first"`. On a CPU,
    TensorFlow has a kernel for that format only with oneDNN (off by default without AVX-512). On the TensorFlow backend
    without a visible GPU, this layer runs the channels-last kernel between two transpositions, as Keras's pooling
    layers do on all devices.
    """

    def __init__(self, *args, data_format="channels_first", **kwargs):
        if data_format != "channels_first":
            raise ValueError(f'data_format must be "channels_first", got {data_format!r}')
        super().__init__(*args, data_format=data_format, **kwargs)

    def call(self, inputs):
        outputs = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            # The bias is the first argument: ops.add of Keras 3.15 on TensorFlow applies a bias in second place to the
            # last axis, the width, if the sizes are equal.
            outputs = ops.add(ops.reshape(self.bias, (1, self.filters, 1, 1)), outputs)
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs, kernel):
        if not _lacks_channels_first_kernels():
            return super().convolution_op(inputs, kernel)
        outputs = ops.conv(
            ops.transpose(inputs, (0, 2, 3, 1)),
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
        )
        return ops.transpose(outputs, (0, 3, 1, 2))


def _lacks_channels_first_kernels():
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.get_visible_devices("GPU")


@keras.saving.register_keras_serializable("keras_resnet")
class Pad(layers.Layer):
    """x -> x with more entries on each axis.

    Keras's layers pad only height and width, with zeros. Option A of He et al. 2015 needs zero channels. Max
    pooling of values that may be negative needs a border that is never the maximum, such as repeated edges.

    Args:
        padding: (before, after), the number of new entries, for every axis of x including the batch axis.
        mode: "constant" adds zeros; "symmetric" mirrors x, which repeats the edge if one entry is added.
    """

    def __init__(self, padding, mode="constant", **kwargs):
        super().__init__(**kwargs)
        self.padding = [tuple(pair) for pair in padding]
        self.mode = mode

    def compute_output_shape(self, input_shape):
        return tuple(
            size if size is None else before + size + after
            for size, (before, after) in zip(input_shape, self.padding, strict=True)
        )

    def call(self, inputs):
        return ops.pad(inputs, self.padding, mode=self.mode)

    def get_config(self):
        return super().get_config() | {"padding": self.padding, "mode": self.mode}


@keras.saving.register_keras_serializable("keras_resnet", name="Gate")  # as in the .keras files of version 0.1
class HighwayGate(layers.Layer):
    """[T, F, x], each (N, H, W, C) -> T F + (1 - T) x (Srivastava et al. 2015, equation 3)."""

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def call(self, inputs):
        gate, transformed, carried = inputs
        return carried + gate * (transformed - carried)
