"""Frozen layers, batch normalization modes and layer-wise learning rates for fine-tuning."""

import re

import keras

from keras_resnet.config import Train


def prepare(model: keras.Model, train: Train) -> None:
    """Freezes layers and sets the batch normalization mode; must be called before the optimizer is built.

    Args:
        model: a network of this package, whose layers are named "stem_...", "stage1_...", ..., "logits".
        train: `freeze_at` freezes the weights and moving statistics of a part and of all parts before it; `batch_norm`
            selects the batch normalization mode.
    """
    for layer in model.layers:
        if train.freeze_at and part_of(layer.name) <= part_of(train.freeze_at):
            layer.trainable = False
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = train.batch_norm == "synchronized"
            layer.frozen_statistics = train.batch_norm == "frozen"


def part_of(name: str) -> float:
    """Returns 0 for the stem, 1 for the first stage and so on; infinity for layers after the last stage."""
    match = re.match(r"stage(\d+)", name)
    if match:
        return int(match[1])
    return 0 if name.startswith(("stem", "images", "preprocessing")) else float("inf")


def learning_rate_factors(variables, decay: float) -> list[float]:
    """Returns learning rate factors: 1 after the last stage, `decay` in it, decay ** 2 in the one before, and so on."""
    parts = [part_of(variable.path) for variable in variables]
    last = max((part for part in parts if part < float("inf")), default=0)
    return [decay ** max(last + 1 - part, 0) for part in parts]
