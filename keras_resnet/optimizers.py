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
        options: those of `OPTIONS` that it has.
    """

    path: str
    text: str
    arguments: Callable[[Any], dict] = lambda train: {}
    options: tuple[str, ...] = ()

    def load(self) -> type:
        """Imports the class."""
        return pkgutil.resolve_name(self.path)


# Keys of the group `train` that only some optimizers have; null is the optimizer's own value.
OPTIONS = ("betas", "epsilon", "trust_coefficient")


def _set(train):
    """Returns the arguments of the keys of `OPTIONS` that are set."""
    betas = () if train.betas is None else zip(("beta_1", "beta_2"), train.betas, strict=True)
    values = {name: getattr(train, name) for name in ("epsilon", "trust_coefficient")}
    return dict(betas) | {name: value for name, value in values.items() if value is not None}


def _with_momentum(train):
    return {"momentum": train.momentum} | _set(train)


def _muon(train):
    return {name.replace("beta_", "adam_beta_"): value for name, value in _with_momentum(train).items()}


OPTIMIZERS = {
    "sgd": OptimizerRow(
        "keras_resnet.sgd:SGD", "with momentum, and with weight decay as L2 in the gradient", _with_momentum
    ),
    "adamw": OptimizerRow(
        "keras.optimizers:AdamW",
        "Adam, with weight decay apart from the gradient (Loshchilov and Hutter 2019)",
        _set,
        ("betas", "epsilon"),
    ),
    "lamb": OptimizerRow(
        "keras_resnet.layerwise_optimizers:LAMB",
        "Adam, with steps scaled to the norm of each kernel (You et al. 2020)",
        _set,
        ("betas", "epsilon"),
    ),
    "lars": OptimizerRow(
        "keras_resnet.layerwise_optimizers:LARS",
        "sgd, with gradients scaled to the norm of each kernel (You et al. 2017)",
        _with_momentum,
        ("trust_coefficient",),
    ),
    "lion": OptimizerRow("keras.optimizers:Lion", "the sign of a momentum (Chen et al. 2023)", _set, ("betas",)),
    "muon": OptimizerRow(
        "keras_resnet.muon:Muon",
        "orthogonal momentum of kernels, Adam for the rest (Jordan et al. 2024)",
        _muon,
        ("betas", "epsilon"),
    ),
}
