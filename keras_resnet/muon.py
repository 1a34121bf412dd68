"""Provides Muon for convolutional networks."""

import math

import keras
from keras import ops

from keras_resnet.run_optimizer import RunOptimizer


class _MuonRule(keras.optimizers.Muon):
    """The update of one variable. Keras's own takes dense kernels alone."""

    def _should_use_adamw(self, variable):
        return len(variable.shape) < 2 or any(name in variable.path for name in self.exclude_layers)

    def zeropower_via_newtonschulz5(self, x, steps):
        matrix = super().zeropower_via_newtonschulz5(ops.reshape(x, (-1, x.shape[-1])), steps)
        return ops.reshape(matrix, x.shape)

    def lr_adjust(self, x):
        return x * math.sqrt(max(math.prod(x.shape[:-1]), x.shape[-1])) * self.rms_rate


@keras.saving.register_keras_serializable("keras_resnet")
class Muon(RunOptimizer, _MuonRule):
    """Muon (Jordan et al. 2024): momentum whose matrices are made orthogonal, scaled to Adam's steps (Liu et al. 2025).

    A convolution's kernel (height, width, inputs, outputs) counts as a matrix of height * width * inputs rows. Biases,
    scales, shifts and the classifier have Adam's steps, as Jordan et al. recommend.

    Args:
        learning_rate: a number or a schedule.
        momentum: of the matrices.
        exclude_layers: parts of the paths of kernels that have Adam's steps.
        **kwargs: as for `keras.optimizers.Muon` and `RunOptimizer`.
    """

    def __init__(self, learning_rate=0.001, momentum=0.95, exclude_layers=("logits",), name="muon", **kwargs):
        super().__init__(learning_rate, momentum=momentum, exclude_layers=list(exclude_layers), name=name, **kwargs)
