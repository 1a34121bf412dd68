"""Merges the layers of a configuration: files, and assignments on top."""

from collections.abc import Callable, Iterable
from functools import reduce

from keras_resnet.config.data import CSV_SET, LISTED_SETS
from keras_resnet.losses import LOSSES
from keras_resnet.optimizers import OPTIMIZERS
from keras_resnet.yaml_files import Located, merge

# Pairs of keys that exclude each other: if a later layer sets the first, the second of an earlier layer is removed.
_EXCLUSIVE: dict[tuple[str, str], Callable] = {
    ("train.steps", "train.epochs"): lambda steps, epochs: steps is not None and epochs is not None,
    ("train.epochs", "train.steps"): lambda epochs, steps: epochs is not None and steps is not None,
    ("train.warmup_steps", "train.warmup_learning_rate"): lambda steps, rate: steps == 0 and rate is not None,
    ("train.warmup_steps", "train.warmup_start_factor"): lambda steps, factor: steps == 0 and factor is not None,
    ("train.warmup_learning_rate", "train.warmup_start_factor"): lambda rate, factor: None not in (rate, factor),
    ("train.warmup_start_factor", "train.warmup_learning_rate"): lambda factor, rate: None not in (rate, factor),
    ("train.ema_decay", "train.ema_every"): lambda decay, every: decay == 0 and every != 1,
    ("train.optimizer", "train.betas"): lambda name, value: _lacks(OPTIMIZERS, name, "betas", value),
    ("train.optimizer", "train.epsilon"): lambda name, value: _lacks(OPTIMIZERS, name, "epsilon", value),
    ("train.loss", "train.target_threshold"): lambda name, value: _lacks(LOSSES, name, "target_threshold", value),
    ("data.auto_augment", "data.randaugment_num_ops"): lambda policy, num_ops: bool(policy and num_ops),
    ("data.randaugment_num_ops", "data.auto_augment"): lambda num_ops, policy: bool(policy and num_ops),
    ("model.weights", "model.reset_head"): lambda weights, reset_head: weights is None and reset_head is True,
    ("data.name", "data.on_unreadable_image"): lambda name, on_unreadable_image: (
        name == "synthetic" and on_unreadable_image == "skip"
    ),
    ("data.name", "data.split_lists"): lambda name, lists: str(name).partition(":")[0] not in LISTED_SETS,
    ("data.name", "data.csv"): lambda name, columns: str(name).partition(":")[0] != CSV_SET,
}


def _lacks(table, name, option, value):
    """Returns whether an option is set that the selected row of a table lacks."""
    return value is not None and str(name) in table and option not in table[str(name)].options


def stack(layers: Iterable[Located], notify: Callable[[str], None]) -> Located:
    """Merges layers, the lowest first; `notify` receives a line for each key that another key replaces."""

    def put_on(below, layer):
        for (key, other), excludes in _EXCLUSIVE.items():
            if _has(layer, key) and not _has(layer, other) and _has(below, other):
                value, former = _value(layer, key), _value(below, other)
                if excludes(value, former):
                    notify(f"{other}: {former} of {below.mark(other.split('.'))} is replaced by {_said(layer, key)}")
                    below = _without(below, other)
        return merge(below, layer)

    return reduce(put_on, layers)


def _has(located, key):
    group, name = key.split(".")
    return isinstance(located.value.get(group), dict) and name in located.value[group]


def _value(located, key):
    group, name = key.split(".")
    return located.value[group][name]


def _said(located, key):
    mark, value = located.mark(key.split(".")), _value(located, key)
    value = "null" if value is None else value
    return f"--set {key}={value}" if mark == "--set" else f"{key}: {value} of {mark}"


def _without(located, key):
    group, name = key.split(".")
    left = {each: value for each, value in located.value[group].items() if each != name}
    return Located(located.value | {group: left}, located.marks)
