"""Provides the table of optimizers that `train.optimizer` selects from; imports neither Keras nor TensorFlow."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OptimizerRow:
    """An optimizer of a run.

    Attributes:
        path: "module:class" of a `keras.optimizers.Optimizer`.
        text: description for the configuration key.
        arguments: the configuration group `train` -> the class's own arguments. Those that every optimizer of a run
            takes are not among them; see `RunOptimizer`.
    """

    path: str
    text: str
    arguments: Callable[[Any], dict] = lambda train: {}

    def load(self) -> type:
        """Imports the class."""
        return pkgutil.resolve_name(self.path)


OPTIMIZERS = {
    "sgd": OptimizerRow(
        "keras_resnet.sgd:SGD",
        "with momentum, and with weight decay as L2 in the gradient",
        lambda train: {"momentum": train.momentum},
    ),
    "adamw": OptimizerRow(
        "keras.optimizers:AdamW", "Adam, with weight decay apart from the gradient (Loshchilov and Hutter 2019)"
    ),
}
