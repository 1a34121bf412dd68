"""A name or a file of weights -> a network's variables."""

import os
from dataclasses import fields, replace

import keras

from keras_resnet.description import check_units, same_network
from keras_resnet.specs import UNSEEN, Spec, variant
from keras_resnet.weights.conversion import Pretrained, convert, fit_to
from keras_resnet.weights.download import fetch
from keras_resnet.weights.native import assign_tensors, named_variables
from keras_resnet.weights.published import locate
from keras_resnet.weights.reading import read_weights
from keras_resnet.weights.state_dict import Which

# What published weights of one network differ in: these come with the weights.
_FLAVOUR = {*UNSEEN, "order", "shortcut", "biases", "first_projection"} - {"projection"}


def load_pretrained(
    weights: str,
    row: Spec | None = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    epsilon: float | None = None,
    torch_allowed: bool = False,
    which: Which | None = None,
) -> Pretrained:
    """Reads weights by name, downloading them once, or from a file; see `from_weights`.

    Args:
        weights: "imagenet", a name of the table of published weights, or a path.
        row: the network that "imagenet" is meant for.
        mean, std, epsilon: as for `from_weights`.
        torch_allowed: read PyTorch's own files too, in a child process.
        which: "plain" or "ema" where a training script saved both; None takes the plain weights and tells.

    Raises:
        ValueError: there are no such weights, or they are of no network of this family.
    """
    weights = os.fspath(weights)
    entry = locate(weights, row)
    tensors, metadata = read_weights(fetch(entry) if entry else weights, torch_allowed)
    preparation = entry.preparation if entry else None
    pretrained = convert(tensors, weights, metadata, preparation=preparation, epsilon=epsilon, which=which)
    if mean is None and std is None:
        return pretrained
    check_units(mean, std)
    known = pretrained.description.preparation
    changed = replace(known, mean=known.mean if mean is None else mean, std=known.std if std is None else std)
    kept = tuple(line for line in pretrained.assumed if not line.startswith("images"))
    return replace(pretrained, assumed=kept, description=replace(pretrained.description, preparation=changed))


def check_network(pretrained: Pretrained, spec: Spec, asked: dict, source: str) -> None:
    """Checks that weights are of the network that is asked for, up to what comes with the weights.

    Args:
        pretrained: the weights.
        spec: the network.
        asked: {axis of `variant`: value} as the caller gave them, None where not.
        source: named in messages.

    Raises:
        ValueError: they are of another one.
    """
    own = tuple(field.name for field in fields(Spec) if field.name not in _FLAVOUR)
    different = same_network(pretrained.spec, spec, own)
    if different:
        raise ValueError(
            f"{source}: has weights of {pretrained.spec.name} ({different}={getattr(pretrained.spec, different)!r}), "
            f"not of {spec.name} ({different}={getattr(spec, different)!r})"
        )
    for name, value in asked.items():
        has = getattr(pretrained.spec, name)
        if value is not None and _effective(variant(pretrained.spec, **{name: value})) != _effective(pretrained.spec):
            raise ValueError(f"{name}={value!r} was asked for, the weights of {source} have {name}={has!r}")


def _effective(spec):
    """The same for two specs of one network, which differ in what does not matter for its kind of blocks."""
    moot = {"stride_on": "3x3"} if spec.block != "bottleneck" else {"first_shortcut": "activated"}
    return replace(spec, **moot | ({"zero_channels": "end"} if spec.shortcut != "A" else {}))


def set_pretrained(model: keras.Model, pretrained: Pretrained, new_head: bool = False) -> bool:
    """Sets a model's variables; a classifier of other classes stays new, a first kernel of other channels is adapted.

    Args:
        model: the network.
        pretrained: its weights.
        new_head: leave the classifier new in any case.

    Returns:
        Whether the model has a classifier and it is new.

    Raises:
        ValueError: the weights do not fit the model.
    """
    source = pretrained.path
    variables = named_variables(model)
    arrays = fit_to(pretrained, {path: tuple(variable.shape) for path, variable in variables.items()}, source)
    if new_head or "logits/kernel" not in arrays:
        arrays, trunk = (
            {path: v for path, v in each.items() if not path.startswith("logits/")} for each in (arrays, variables)
        )
        assign_tensors(trunk, arrays, source)
        return "logits/kernel" in variables
    assign_tensors(variables, arrays, source)
    return False
