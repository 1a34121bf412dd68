"""Provides the papers' optimizer: SGD with momentum, and weight decay as L2 in the gradient."""

import keras
import tensorflow as tf
from keras import ops

from keras_resnet.renamed import upgrade_optimizer
from keras_resnet.run_optimizer import RunOptimizer


class _Rule(keras.optimizers.SGD):
    """The update of one variable. `SGD` calls it with the variable's own learning rate."""

    def update_step(self, gradient, variable, learning_rate):
        if self.l2 and self._use_weight_decay(variable):
            gradient = gradient + self.l2 * ops.convert_to_tensor(variable)
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        # One TensorFlow kernel computes Keras's rule in place of seven operations, because updates are most of a deep
        # network's graph.
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].value.handle,
            lr=ops.cast(learning_rate, variable.dtype),
            grad=ops.cast(gradient, variable.dtype),
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


@keras.saving.register_keras_serializable("keras_resnet")
class SGD(RunOptimizer, _Rule):
    """SGD with momentum and the weight decay of the papers and of Torch, for `compile` and `fit` and for `train.py`.

    | optimizer | update of a kernel w with gradient g |
    |---|---|
    | `keras_resnet.SGD` | v = m v - lr (g + weight_decay w), w = w + v |
    | `keras.optimizers.SGD` | v = m v - lr g, w = w + v - lr weight_decay w |

    Keras's optimizer decays the weights outside of the momentum, which is about ten times weaker at momentum 0.9. As in
    Caffe, the momentum includes the learning rate; this differs from Torch only while the learning rate changes. The
    optimizer requires the TensorFlow backend.

    Args:
        learning_rate: a number or a schedule.
        momentum: m.
        weight_decay: factor of w in the term that is added to the gradient.
        weight_decay_on: "kernels" decays variables of rank 2 and more; "all" also decays biases, scales and shifts.
        global_clipnorm: maximum norm of the gradient of all variables, after the sum over replicas.
        learning_rate_factors: a factor of the learning rate for each variable, in the order of `build`.
        **kwargs: as for `keras.optimizers.SGD`.

    Attributes:
        gradient_norm: (), norm of the gradient of all variables in the last step, before clipping.
        learning_rate_factor: (), factor of all learning rates, initially 1.
    """

    def __init__(
        self,
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=0.0,
        weight_decay_on="kernels",
        global_clipnorm=None,
        learning_rate_factors=None,
        name="sgd",
        **kwargs,
    ):
        super().__init__(
            learning_rate,
            momentum=float(momentum),
            weight_decay_on=weight_decay_on,
            global_clipnorm=global_clipnorm,
            learning_rate_factors=learning_rate_factors,
            name=name,
            **kwargs,
        )
        self.l2 = weight_decay  # Keras would apply an attribute named `weight_decay` in its own way

    def get_config(self):
        return super().get_config() | {"weight_decay": self.l2}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Creates an optimizer from its configuration, also from version 0.1's with other argument names."""
        return super().from_config(upgrade_optimizer(config), custom_objects)
