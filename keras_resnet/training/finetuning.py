"""Which parts of a network learn, and how fast: what fine-tuning and batch normalization's three modes need."""

import re

import keras

from keras_resnet.config import Train


def prepare(model: keras.Model, train: Train) -> None:
    """Sets what of `model` is trained; comes before its optimizer is built.

    Args:
        model: a network of this package, whose layers are named "stem_...", "stage1_...", ..., "logits".
        train: `freeze_at` keeps the weights and statistics of a part and of all before it; `statistics` says over
            which images batch normalization averages.
    """
    for layer in model.layers:
        if train.freeze_at and part_of(layer.name) <= part_of(train.freeze_at):
            layer.trainable = False
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = train.batch_norm == "synchronized"
            layer.frozen_statistics = train.batch_norm == "frozen"


def part_of(name: str) -> float:
    """0 for the stem, 1 for the first stage, ...; after all of them, what stands between last stage and classifier."""
    match = re.match(r"stage(\d+)", name)
    if match:
        return int(match[1])
    return 0 if name.startswith(("stem", "images", "preprocessing")) else float("inf")


def learning_rate_factors(variables, decay: float) -> list[float]:
    """Factors on the learning rate: 1 after the last stage, `decay` in it, decay ** 2 in the one below, and so on."""
    parts = [part_of(variable.path) for variable in variables]
    last = max((part for part in parts if part < float("inf")), default=0)
    return [decay ** max(last + 1 - part, 0) for part in parts]
