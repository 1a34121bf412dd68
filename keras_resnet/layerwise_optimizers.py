"""Provides LAMB and LARS, whose steps are proportional to the norm of each variable: for very large batches."""

import keras
from keras import ops

from keras_resnet.run_optimizer import RunOptimizer
from keras_resnet.sgd import SGD


def _norm(x):
    return ops.sqrt(ops.sum(ops.square(x)))


def _ratio(numerator, denominator):
    """Returns the quotient of two norms; 1 if one of them is 0, as for new variables."""
    both = (numerator > 0) & (denominator > 0)
    return ops.where(both, numerator / ops.where(both, denominator, 1.0), 1.0)


class _LambRule(keras.optimizers.Lamb):
    """The update of one variable. Keras's own leaves the weight decay out of the step that it scales."""

    def update_step(self, gradient, variable, learning_rate):
        dtype, index = variable.dtype, self._get_variable_index(variable)
        gradient, rate = ops.cast(gradient, dtype), ops.cast(learning_rate, dtype)
        count = ops.cast(self.iterations + 1, dtype)
        m, v = self._momentums[index], self._velocities[index]
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        step = m / (1 - self.beta_1**count) / (ops.sqrt(v / (1 - self.beta_2**count)) + self.epsilon)
        if self._use_weight_decay(variable):
            weight = ops.convert_to_tensor(variable)
            step = step + self.decay * weight
            step = step * _ratio(_norm(weight), _norm(step))
        self.assign_sub(variable, rate * step)


@keras.saving.register_keras_serializable("keras_resnet")
class LAMB(RunOptimizer, _LambRule):
    """LAMB (You et al. 2020, algorithm 2): Adam's step plus the decayed weight, scaled to the norm of the weight.

    w = w - lr |w| / |s| s with s = m / (sqrt(v) + epsilon) + weight_decay w, m and v without bias. As in the authors'
    code and in timm, variables that are not decayed take Adam's step without the scale.

    Args:
        learning_rate: a number or a schedule.
        beta_1, beta_2: decay of the means of the gradient and of its square.
        epsilon: added to the root of the mean square.
        weight_decay: factor of w in the step.
        **kwargs: as for `RunOptimizer`.
    """

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-6, weight_decay=0.0, name="lamb", **kwargs
    ):
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, name=name, **kwargs)
        self.decay = weight_decay  # Keras and `RunOptimizer` apply an attribute named `weight_decay` in their own way

    def get_config(self):
        """Returns the arguments of the constructor."""
        return super().get_config() | {"weight_decay": self.decay}


@keras.saving.register_keras_serializable("keras_resnet")
class LARS(SGD):
    """LARS (You et al. 2017): SGD with momentum whose gradients are scaled to the norm of the weights.

    The learning rate of a variable w is multiplied by trust_coefficient |w| / (|g| + weight_decay |w|). Variables that
    are not decayed keep theirs.

    Args:
        learning_rate, momentum: as for `SGD`.
        trust_coefficient: the ratio of the norms of step and weight at a learning rate of 1.
        **kwargs: as for `SGD`.
    """

    def __init__(self, learning_rate=0.1, momentum=0.9, trust_coefficient=0.001, name="lars", **kwargs):
        super().__init__(learning_rate, momentum, name=name, **kwargs)
        self.trust_coefficient = trust_coefficient

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable from its gradient, which is already summed over the replicas."""
        if self._use_weight_decay(variable):
            weight, scaled = _norm(ops.convert_to_tensor(variable)), _norm(gradient) / self.trust_coefficient
            total = scaled + self.l2 / self.trust_coefficient * weight
            learning_rate = ops.cast(learning_rate, variable.dtype) * _ratio(weight, total)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        """Returns the arguments of the constructor."""
        return super().get_config() | {"trust_coefficient": self.trust_coefficient}
