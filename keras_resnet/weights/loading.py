"""A name or a file of weights -> a network's variables."""

import os
from dataclasses import fields, replace

import keras

from keras_resnet.description import same_network
from keras_resnet.specs import UNSEEN, Spec
from keras_resnet.weights import published
from keras_resnet.weights.conversion import Pretrained, convert, fit_to
from keras_resnet.weights.download import fetch
from keras_resnet.weights.native import assign_tensors, named_variables
from keras_resnet.weights.reading import read_weights

# What published weights of one network differ in: these come with the weights.
_FLAVOUR = (*UNSEEN, "order", "shortcut", "biases", "first_projection")


def load_pretrained(
    weights: str,
    row: Spec | None = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    epsilon: float | None = None,
    torch_allowed: bool = False,
) -> Pretrained:
    """Reads weights by name, downloading them once, or from a file; see `from_weights`.

    Args:
        weights: "imagenet", a name of the table of published weights, or a path.
        row: the network that "imagenet" is meant for.
        mean, std, epsilon: as for `from_weights`.
        torch_allowed: read PyTorch's own files too, in a child process.

    Raises:
        ValueError: there are no such weights, or they are of no network of this family.
    """
    weights = os.fspath(weights)
    entry = published.find(weights, row)
    path = fetch(entry) if entry else weights
    if not entry and not os.path.exists(path) and not os.path.exists(f"{path}.index") and "://" not in path:
        raise ValueError(f"weights: {weights!r} is no file and {published.suggestion(weights)}")
    tensors, metadata = read_weights(path, torch_allowed)
    preparation = entry.preparation if entry else None
    pretrained = convert(tensors, weights, metadata, preparation=preparation, epsilon=epsilon)
    if mean is None and std is None:
        return pretrained
    given = {name: tuple(values) for name, values in (("mean", mean), ("std", std)) if values is not None}
    changed = replace(pretrained.description.preparation, **given)
    kept = tuple(line for line in pretrained.assumed if not line.startswith("images"))
    return replace(pretrained, assumed=kept, description=replace(pretrained.description, preparation=changed))


def check_network(pretrained: Pretrained, spec: Spec, asked: dict, source: str) -> None:
    """Checks that weights are of the network that is asked for, up to what comes with the weights.

    Args:
        pretrained: the weights.
        spec: the network.
        asked: {"version", "shortcut"} as the caller gave them, None where not.
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
        if value is not None and has != value:
            raise ValueError(f"{name}={value!r} was asked for, the weights of {source} have {name}={has!r}")


def set_pretrained(model: keras.Model, pretrained: Pretrained) -> None:
    """Sets a model's variables; a classifier of other classes stays new, a first kernel of other channels is adapted.

    Raises:
        ValueError: the weights do not fit the model.
    """
    source = pretrained.description.source
    variables = named_variables(model)
    arrays = fit_to(pretrained, {path: tuple(variable.shape) for path, variable in variables.items()}, source)
    new_head = not any(path.startswith("logits/") for path in arrays)
    wanted = {path: v for path, v in variables.items() if not (new_head and path.startswith("logits/"))}
    assign_tensors(wanted, arrays, source)
