"""Provides the papers' optimizer, SGD with momentum and L2 in the gradient, and its learning rate schedules."""

import math

import keras
import tensorflow as tf
from keras import ops

from keras_resnet.renamed import OPTIMIZER_ARGUMENTS, upgrade, upgrade_optimizer


@keras.saving.register_keras_serializable("keras_resnet")
class SGD(keras.optimizers.SGD):
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
        if keras.backend.backend() != "tensorflow":
            raise ValueError(f"keras_resnet.SGD needs Keras's TensorFlow backend, this is {keras.backend.backend()}")
        super().__init__(learning_rate=learning_rate, momentum=float(momentum), name=name, **kwargs)
        # Keras would apply attributes named `weight_decay` and `global_clipnorm` in its own way.
        self.l2, self.weight_decay_on, self.max_gradient_norm = weight_decay, weight_decay_on, global_clipnorm
        self.learning_rate_factors = list(learning_rate_factors) if learning_rate_factors else None

    def build(self, variables):
        """Creates Keras's variables, `gradient_norm`, and `learning_rate_factor`, which a rollback changes."""
        # `fit` builds the optimizer while it traces. Without `init_scope`, every variable would become a conditional of
        # the graph, which takes a third of ResNet-1202's time to the first step.
        with tf.init_scope():
            if not self.built:
                with keras.name_scope(self.name, caller=self):
                    self.gradient_norm = self._number("gradient_norm", "zeros")
                    self.learning_rate_factor = self._number("rate_factor", "ones")  # its name in checkpoints
            super().build(variables)

    def _number(self, name, initializer):
        return self.add_variable((), initializer, aggregation="only_first_replica", name=name)

    def rate_at(self, step: int) -> float:
        """Returns the learning rate after `step` steps."""
        factor = float(ops.convert_to_numpy(self.learning_rate_factor))
        return float(ops.convert_to_numpy(self._learning_rate(step))) * factor

    def _get_current_learning_rate(self):
        rate = super()._get_current_learning_rate()
        return rate * ops.cast(self.learning_rate_factor, rate.dtype) if self.built else rate

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # Keras sums over the replicas here. Its own global_clipnorm runs before the sum and clips each replica's part.
        gradients, variables = zip(*super()._all_reduce_sum_gradients(grads_and_vars), strict=True)
        norm = tf.linalg.global_norm(gradients)
        self.gradient_norm.assign(norm)
        if self.max_gradient_norm is not None:
            gradients = tf.clip_by_global_norm(gradients, self.max_gradient_norm, use_norm=norm)[0]
        return list(zip(gradients, variables, strict=True))

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable from its gradient, which is already summed over the replicas."""
        if self.learning_rate_factors:
            learning_rate = learning_rate * self.learning_rate_factors[self._get_variable_index(variable)]
        if self.l2 and (self.weight_decay_on == "all" or len(variable.shape) > 1):
            gradient = gradient + ops.cast(self.l2, variable.dtype) * ops.convert_to_tensor(variable)
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

    def get_config(self):
        own = {"weight_decay": self.l2, "global_clipnorm": self.max_gradient_norm}
        own |= {name: getattr(self, name) for name in ("weight_decay_on", "learning_rate_factors")}
        return super().get_config() | own

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Creates an optimizer from its configuration, also from version 0.1's with other argument names."""
        return super().from_config(upgrade_optimizer(config), custom_objects)


@keras.saving.register_keras_serializable("keras_resnet")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """step -> learning rate: a linear warm-up, then the schedule `kind`.

    Args:
        kind: "step" multiplies by 0.1 at each of `milestones`; "cosine" decreases to 0 at `steps`; "constant".
        base: the highest learning rate.
        steps: total number of optimizer steps.
        warmup_steps: number of steps before the learning rate is `base`.
        milestones: fractions of `steps`.
        warmup_learning_rate: a constant learning rate during the warm-up, instead of a linear increase.
    """

    def __init__(self, kind, base, steps, warmup_steps=0, milestones=(), warmup_learning_rate=None):
        self.kind, self.base, self.steps = kind, base, steps
        self.warmup_steps, self.milestones = warmup_steps, tuple(milestones)
        self.warmup_learning_rate = warmup_learning_rate

    def __call__(self, step):
        step = ops.cast(step, keras.config.floatx())
        rate = self.base * ops.ones_like(step)
        if self.kind == "step":
            for milestone in self.milestones:
                rate = ops.where(step >= round(milestone * self.steps), rate * 0.1, rate)
        elif self.kind == "cosine":
            done = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
            rate = rate * (1 + ops.cos(math.pi * ops.clip(done, 0, 1))) / 2
        if self.warmup_steps:
            first = self.warmup_learning_rate or self.base * (step + 1) / self.warmup_steps
            rate = ops.where(step < self.warmup_steps, first, rate)
        return rate

    def get_config(self):
        return {
            "kind": self.kind,
            "base": self.base,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "milestones": self.milestones,
            "warmup_learning_rate": self.warmup_learning_rate,
        }

    @classmethod
    def from_config(cls, config):
        """Creates a schedule from its configuration, also from version 0.1's with other argument names."""
        return cls(**upgrade(config, OPTIMIZER_ARGUMENTS))
