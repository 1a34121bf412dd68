"""Loads weights from a name or a file into a network's variables."""

import os
from dataclasses import replace
from typing import Any, get_args

import keras

from keras_resnet.description import ImageSize, Interpolation, check_units
from keras_resnet.files import is_remote
from keras_resnet.specs import NETWORK_OPTIONS, SPECS, Spec, effective, first_different_option, variant
from keras_resnet.weights.conversion import Pretrained, convert, fit_to, is_of_detector
from keras_resnet.weights.detectors import convert_detector, is_detector, trunk_of
from keras_resnet.weights.hub import fetch_repository
from keras_resnet.weights.model_config import read_model_config
from keras_resnet.weights.native import assign_tensors, named_variables
from keras_resnet.weights.published import HUB_FILE, HUB_INDEX, HUB_SCHEME, fetch, locate
from keras_resnet.weights.reading import is_torch, read_weights
from keras_resnet.weights.state_dict import Which
from keras_resnet.weights.tensors import read_tensors, write_tensors
from keras_resnet.weights.torch_files import read_torch_file

HEAD = "head/"  # begins the paths of the variables that a task adds to a network
# Layers of a detector with outputs for each class.
_CLASS_LAYERS = ("box_scores/", "box_deltas/", "mask_scores/")


def load_pretrained(
    weights: str,
    row: Spec | None = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    image_size: ImageSize | None = None,
    crop_pct: float | None = None,
    interpolation: Interpolation | None = None,
    epsilon: float | None = None,
    torch_allowed: bool = False,
    which: Which | None = None,
    detectors: bool = False,
) -> Pretrained:
    """Reads weights by name, with one download, or from a file; see `from_weights`.

    Args:
        weights: "imagenet", a name of the table of published weights, "hf://OWNER/NAME", or a path.
        row: the network that the weights must belong to; "imagenet" selects its weights.
        mean, std, image_size, crop_pct, interpolation, epsilon: as for `from_weights`.
        torch_allowed: also read PyTorch files, in a child process.
        which: "plain" or "ema" for a file with both; None selects the plain weights and reports it.
        detectors: return the weights of whole detectors; otherwise those of their trunk.

    Raises:
        ValueError: the weights do not exist, or do not belong to a network of this package.
    """
    weights = os.fspath(weights)
    check_units(mean, std)
    given: dict[str, Any] = {"mean": mean, "std": std, "image_size": image_size, "crop_pct": crop_pct}
    given = {name: value for name, value in (given | {"interpolation": interpolation}).items() if value is not None}
    _check_given(given)
    entry = locate(weights, row)
    if entry and row and entry.network in SPECS:  # before the download
        _check_same_network(SPECS[entry.network], row, weights)
    path = fetch(entry) if entry else fetch_repository(weights) if weights.startswith(HUB_SCHEME) else weights
    tensors, metadata = (_converted_once(path), {}) if entry and is_torch(path) else read_weights(path, torch_allowed)
    if is_detector({*tensors}):
        network = entry.network if entry else ""
        found = convert_detector(tensors, weights, metadata, row=network, given=given, epsilon=epsilon)
        return found if detectors else trunk_of(found)
    head = {name: value for name, value in tensors.items() if name.startswith(HEAD)}
    found = convert(
        {name: value for name, value in tensors.items() if name not in head},
        weights,
        metadata,
        preprocessing=entry.preprocessing if entry else None,
        config=_config_beside(path),
        given=given,
        epsilon=epsilon,
        which=which,
    )
    if not head:
        return found
    left_out = ", ".join(dict.fromkeys(name.rpartition("/")[0] for name in head))
    return replace(found, head=head, assumed=(*found.assumed, f"only its classifier is meant, without {left_out}"))


def _converted_once(path):
    """Reads a published file of PyTorch; later calls read the safetensors file that the first one leaves beside it."""
    converted = f"{os.path.splitext(path)[0]}.safetensors"
    if not os.path.isfile(converted):
        write_tensors(read_torch_file(path), converted)
    return read_tensors(converted)


def _check_given(given):
    size, crop = given.get("image_size", 1), given.get("crop_pct", 1.0)
    sides = size if isinstance(size, list | tuple) else (size,)
    if len(sides) not in (1, 2) or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ValueError(f"image_size: got {size!r}, expected a number of pixels, or (height, width)")
    if not isinstance(crop, int | float) or not 0 < crop <= 1:
        raise ValueError(f"crop_pct: got {crop!r}, expected a number above 0 and at most 1")
    if given.get("interpolation", "bilinear") not in get_args(Interpolation):
        allowed = " or ".join(get_args(Interpolation))
        raise ValueError(f"interpolation: got {given['interpolation']!r}, expected {allowed}")


def _config_beside(path):
    """Reads the configuration in a model's folder. Files next to weights of another name are ignored."""
    if is_remote(path):
        return None
    if os.path.isdir(path):
        return read_model_config(path)
    return read_model_config(os.path.dirname(path)) if os.path.basename(path) in (HUB_FILE, HUB_INDEX) else None


def check_network(pretrained: Pretrained, spec: Spec, asked: dict, source: str) -> None:
    """Checks that weights belong to the requested network, except for options that the weights determine.

    Args:
        pretrained: the weights.
        spec: the requested network.
        asked: {option of `variant`: value} from the caller; None for options that are not given.
        source: name of the weights, for error messages.

    Raises:
        ValueError: the weights belong to another network, or have another value of an option.
    """
    _check_same_network(pretrained.spec, spec, source)
    for name, value in asked.items():
        has = pretrained.spec.option(name)
        if value is not None and effective(variant(pretrained.spec, **{name: value})) != effective(pretrained.spec):
            raise ValueError(f"{name}={value!r} was asked for, the weights of {source} have {name}={has!r}")


def _check_same_network(has, spec, source):
    different = first_different_option(has, spec, NETWORK_OPTIONS)
    if different:
        raise ValueError(
            f"{source}: has weights of {has.name} ({different}={has.option(different)!r}), "
            f"not of {spec.name} ({different}={spec.option(different)!r})"
        )


def set_pretrained(model: keras.Model, pretrained: Pretrained, reset_head: bool = False) -> bool:
    """Sets a model's variables to pretrained weights.

    A classifier with another number of classes keeps its initialization. The first kernel is adapted to the number of
    channels.

    Args:
        model: the network.
        pretrained: its weights.
        reset_head: keep the classifier's initialization in any case.

    Returns:
        True if the model has a classifier that keeps its initialization.

    Raises:
        ValueError: the weights do not fit the model.
    """
    source = pretrained.path
    variables = named_variables(model)
    arrays = fit_to(pretrained, {path: tuple(variable.shape) for path, variable in variables.items()}, source)
    if reset_head or "logits/kernel" not in arrays:
        arrays, trunk = (
            {path: v for path, v in each.items() if not path.startswith("logits/")} for each in (arrays, variables)
        )
        assign_tensors(trunk, arrays, source)
        return "logits/kernel" in variables
    assign_tensors(variables, arrays, source)
    return False


def set_trunk(model: keras.Model, pretrained: Pretrained) -> None:
    """Sets the network in a detector, without its heads, to the weights of a classifier.

    Raises:
        ValueError: the weights do not fit the model.
    """
    variables = {path: variable for path, variable in named_variables(model).items() if not is_of_detector(path)}
    arrays = fit_to(pretrained, {path: tuple(each.shape) for path, each in variables.items()}, pretrained.path)
    arrays = {path: value for path, value in arrays.items() if not path.startswith("logits/")}
    assign_tensors(variables, arrays, pretrained.path)


def set_detector(model: keras.Model, pretrained: Pretrained, reset_head: bool = False) -> tuple[str, ...]:
    """Sets a detector's variables to pretrained weights.

    Layers of classes keep their initialization if the number of classes differs, and so does a mask head that the
    weights lack. A mask head that the detector lacks is left out.

    Args:
        model: the detector.
        pretrained: the weights of a whole detector.
        reset_head: keep the initialization of the layers of classes in any case.

    Returns:
        The layers that keep their initialization.

    Raises:
        ValueError: the weights do not fit the model.
    """
    variables = named_variables(model)
    arrays = {
        path: value for path, value in pretrained.arrays.items() if path in variables or not path.startswith("mask_")
    }
    of_classes = {path for path in variables if path.startswith(_CLASS_LAYERS)}
    shapes = all(path not in arrays or arrays[path].shape == tuple(variables[path].shape) for path in of_classes)
    # The shapes alone do not tell: 90 classes have as many outputs as COCO's 80 classes and 10 numbers without one.
    same = shapes and len(model.description.labels) == len(pretrained.description.labels)
    new = {path for path in variables if path.startswith("mask_") and path not in arrays}
    if reset_head or not same:
        new |= of_classes
    assign_tensors(
        {path: variable for path, variable in variables.items() if path not in new},
        {path: value for path, value in arrays.items() if path not in new},
        pretrained.path,
    )
    return tuple(dict.fromkeys(path.partition("/")[0] for path in variables if path in new))
