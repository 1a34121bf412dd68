"""Provides what a run adds to any Keras optimizer: `RunOptimizer`, and the learning rate `Schedule`."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_resnet.errors import suggest
from keras_resnet.renamed import OPTIMIZER_ARGUMENTS, upgrade
from keras_resnet.schedules import SCHEDULES


class RunOptimizer(keras.optimizers.Optimizer):
    """Adds what a run needs to a Keras optimizer, as its first base class. It requires the TensorFlow backend.

    Args:
        weight_decay_on: "kernels" decays variables of rank 2 and more; "all" also decays biases, scales and shifts.
        global_clipnorm: maximum norm of the gradient of all variables, after the sum over replicas.
        learning_rate_factors: a factor of the learning rate for each variable, in the order of `build`.
        ema_every: number of steps from one update of the moving average to the next, with `use_ema`.
        *arguments, **kwargs: as for the Keras optimizer.

    Attributes:
        gradient_norm: (), norm of the gradient of all variables in the last step, before clipping.
        learning_rate_factor: (), factor of all learning rates, initially 1.
    """

    ema_momentum: Any  # Keras's number, in whose place a step may have a tensor

    def __init__(
        self,
        *arguments,
        weight_decay_on="kernels",
        global_clipnorm=None,
        learning_rate_factors=None,
        ema_every=1,
        **kwargs,
    ):
        if keras.backend.backend() != "tensorflow":
            name = type(self).__name__
            raise ValueError(f"keras_resnet.{name} needs Keras's TensorFlow backend, this is {keras.backend.backend()}")
        if weight_decay_on not in ("kernels", "all"):
            raise ValueError(f'weight_decay_on must be "kernels" or "all", got {weight_decay_on!r}')
        super().__init__(*arguments, **kwargs)
        # Keras would apply an attribute named `global_clipnorm` in its own way.
        self.weight_decay_on, self.max_gradient_norm = weight_decay_on, global_clipnorm
        self.learning_rate_factors = list(learning_rate_factors) if learning_rate_factors else None
        self.ema_every = ema_every

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

    def _use_weight_decay(self, variable):
        return self.weight_decay_on == "all" or len(variable.shape) > 1

    def _apply_weight_decay(self, variables):
        """Does nothing: `update_step` decays each variable, because Keras does not know the variable's own rate."""

    def _update_model_variables_moving_average(self, trainable_variables):
        decay = self.ema_momentum
        if self.ema_every > 1:  # a decay of 1 keeps the average
            self.ema_momentum = ops.where(self.iterations % self.ema_every == 0, decay, 1.0)
        super()._update_model_variables_moving_average(trainable_variables)
        self.ema_momentum = decay

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable from its gradient, which is already summed over the replicas."""
        if self.learning_rate_factors:
            learning_rate = learning_rate * self.learning_rate_factors[self._get_variable_index(variable)]
        if self.weight_decay and self._use_weight_decay(variable):
            decay = self.weight_decay * ops.cast(learning_rate, variable.dtype)
            self.assign_sub(variable, variable * decay)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        own = {"global_clipnorm": self.max_gradient_norm}
        own |= {name: getattr(self, name) for name in ("weight_decay_on", "learning_rate_factors", "ema_every")}
        return super().get_config() | own


def for_runs(optimizer: type) -> type:
    """Returns a Keras optimizer class with what a run needs."""
    if issubclass(optimizer, RunOptimizer):
        return optimizer
    return type(optimizer.__name__, (RunOptimizer, optimizer), {})


@keras.saving.register_keras_serializable("keras_resnet")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """step -> learning rate: a linear warm-up, then the schedule `kind`.

    Args:
        kind: a name of `SCHEDULES`: "step" multiplies by 0.1 at each of `milestones`; "cosine" decreases to 0 at
            `steps`; "constant".
        base: the highest learning rate.
        steps: total number of optimizer steps.
        warmup_steps: number of steps before the learning rate is `base`.
        milestones: fractions of `steps`.
        warmup_learning_rate: a constant learning rate during the warm-up, instead of a linear increase.
        warmup_start_factor: share of `base` that the linear increase begins with; default 1 / `warmup_steps`, which
            the first step has, so that the last one of the warm-up has `base`.
    """

    def __init__(
        self,
        kind,
        base,
        steps,
        warmup_steps=0,
        milestones=(),
        warmup_learning_rate=None,
        warmup_start_factor=None,
    ):
        if kind not in SCHEDULES:
            raise ValueError(f"kind={kind!r}: {suggest(kind, SCHEDULES)}")
        self.kind, self.base, self.steps = kind, base, steps
        self.warmup_steps, self.milestones = warmup_steps, tuple(milestones)
        self.warmup_learning_rate, self.warmup_start_factor = warmup_learning_rate, warmup_start_factor

    def __call__(self, step):
        step = ops.cast(step, keras.config.floatx())
        rate = SCHEDULES[self.kind].rate(self.base * ops.ones_like(step), step, self)
        if self.warmup_steps:
            first = self.warmup_learning_rate or self.base * self._warm_up(step)
            rate = ops.where(step < self.warmup_steps, first, rate)
        return rate

    def _warm_up(self, step):
        """Returns the share of the highest learning rate during a linear warm-up."""
        if self.warmup_start_factor is None:
            return (step + 1) / self.warmup_steps
        return self.warmup_start_factor + (1 - self.warmup_start_factor) * step / self.warmup_steps

    def get_config(self):
        return {
            "kind": self.kind,
            "base": self.base,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "milestones": self.milestones,
            "warmup_learning_rate": self.warmup_learning_rate,
            "warmup_start_factor": self.warmup_start_factor,
        }

    @classmethod
    def from_config(cls, config):
        """Creates a schedule from its configuration, also from version 0.1's with other argument names."""
        return cls(**upgrade(config, OPTIMIZER_ARGUMENTS))
