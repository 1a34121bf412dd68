"""Saves and loads weights as safetensors, with one tensor per variable, named "<layer>/<variable>" as in Keras."""

from typing import Literal, get_args

import keras
import numpy as np

from keras_resnet.weights.detectors import torchvision_state
from keras_resnet.weights.tensors import read_tensors, write_tensors
from keras_resnet.weights.torch_names import renamed_for

Naming = Literal["keras", "torchvision", "timm"]


def save_weights(model: keras.Model, path: str, metadata: dict[str, str] | None = None, to: Naming = "keras") -> None:
    """Writes every variable of `model` to a temporary file, and renames it to `path`.

    Args:
        model: any model whose variables have distinct paths, such as the models of this package.
        path: the file to write; an existing file is replaced.
        metadata: strings to store with the tensors, in addition to the model description.
        to: "keras" names tensors by layer. "torchvision" and "timm" use the names of that library's network with the
            same blocks, so that the library loads the file with its strict option.

    Raises:
        ValueError: `to` is none of these names, the library has no such network, the model has no description, or its
            weights are quantized.
    """
    if to not in get_args(Naming):
        raise ValueError(f"to must be one of {get_args(Naming)}, got {to!r}")
    _check_not_quantized(model)
    arrays = to_tensors(named_variables(model))
    strings = {"model": model.name} | describe(model) | (metadata or {})
    if to != "keras":
        description = getattr(model, "description", None)
        if description is None:
            raise ValueError(
                f'to="{to}": {model.name} is no model that keras_resnet built, so its layers have no names in {to}'
            )
        if description.detector and to != "torchvision":
            raise ValueError(f"{model.name}: {to} has no detectors of this kind")
        renamed = torchvision_state(arrays, description) if description.detector else None
        arrays, strings = renamed or renamed_for(arrays, description.spec, to), {"format": "pt"} | strings
    write_tensors(arrays, path, strings)


def _check_not_quantized(model):
    """Raises an error after `keras.Model.quantize`: only Keras's own files can store its integers and scales."""
    for layer in model.layers:
        mode = getattr(layer, "quantization_mode", None)
        if mode:
            raise ValueError(
                f'{model.name}: its layer "{layer.name}" is quantized ({mode}); save the weights before '
                'model.quantize, or the whole model: model.save("FILE.keras")'
            )


def describe(model: keras.Model) -> dict[str, str]:
    """Returns the model description as strings for a weights file; empty for models without a description."""
    description = getattr(model, "description", None)
    return description.to_metadata() if description else {}


def named_variables(model: keras.Model) -> dict:
    """Returns the weights of a model by path, "<layer>/<variable>", without the states of random layers.

    Raises:
        ValueError: two weights have the same path.
    """
    variables = [variable for variable in model.variables if not _is_random_state(variable)]
    named = {variable.path: variable for variable in variables}
    if len(named) != len(variables):
        raise ValueError(f"{model.name}: two variables share a path, and cannot be distinguished by name")
    return named


def random_states(model: keras.Model) -> dict:
    """Returns the states of dropout layers as "random/<number>": Keras's names depend on earlier models."""
    states = [variable for variable in model.variables if _is_random_state(variable)]
    return {f"random/{i}": variable for i, variable in enumerate(states)}


def _is_random_state(variable):
    return variable.path.endswith("seed_generator_state")


def to_tensors(variables: dict) -> dict[str, np.ndarray]:
    """Returns the values of variables {name: keras.Variable}; under a strategy, every worker must call it."""
    return {name: np.asarray(keras.ops.convert_to_numpy(variable), order="C") for name, variable in variables.items()}


def load_weights(model: keras.Model, path: str) -> None:
    """Sets every variable of `model` from a file that `save_weights` wrote, or none if the file does not fit.

    Raises:
        ValueError: the file is not safetensors, or its tensors are not this model's; the message names the
            first difference.
    """
    assign_tensors(named_variables(model), read_tensors(path), path)


def assign_tensors(variables: dict, arrays: dict[str, np.ndarray], source: str) -> None:
    """Sets variables {name: keras.Variable} from arrays of the same names; raises errors like `check_tensors`."""
    check_tensors(variables, arrays, source)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def check_tensors(variables: dict, arrays: dict[str, np.ndarray], source: str) -> None:
    """Checks that arrays have the names and shapes of variables; `source` names the arrays in messages.

    Raises:
        ValueError: a name or a shape differs.
    """
    for name, variable in variables.items():
        expected = tuple(variable.shape)
        if name not in arrays:
            raise ValueError(f"{source}: no tensor for {name} {expected}")
        if arrays[name].shape != expected:
            raise ValueError(f"{source}: {name} has shape {arrays[name].shape}, the model's is {expected}")
    unknown = sorted(set(arrays) - set(variables))
    if unknown:
        raise ValueError(f"{source}: {unknown[0]} is not a variable of the model")
