"""Reads weights in several safetensors files, as the Hub's libraries save them. An index names each tensor's file."""

import json
import os
import re

import numpy as np

from keras_resnet.weights.tensors import read_tensors

ENDING = ".index.json"
_LARGEST = 16 * 2**20  # bytes of an index


def read_shards(index: str) -> dict[str, np.ndarray]:
    """Reads the tensors of all files that an index names.

    Raises:
        ValueError: the file is not an index, or a file or a tensor is missing; the message names it.
    """
    file_of = _file_of(index)
    tensors: dict[str, np.ndarray] = {}
    for name in sorted({*file_of.values()}):
        path = os.path.join(os.path.dirname(index), name)
        if not os.path.isfile(path):
            raise ValueError(f"{index}: {name} is not beside it; all files of the weights are needed")
        tensors |= {tensor: value for tensor, value in read_tensors(path).items() if file_of.get(tensor) == name}
    if missing := sorted(file_of.keys() - tensors.keys()):
        raise ValueError(f"{index}: {missing[0]} is not in {file_of[missing[0]]}, where it should be")
    return tensors


def files_of(index: str) -> list[str]:
    """Returns the names of the files in an index; raises errors like `read_shards`."""
    return sorted({*_file_of(index).values()})


def _file_of(index):
    """Returns {tensor: name of its file}."""
    try:
        with open(index, "rb") as file:
            content = file.read(_LARGEST + 1)
        file_of = json.loads(content if len(content) <= _LARGEST else "")["weight_map"]
        names = {*file_of.values()}
    except OSError as error:
        raise ValueError(f"{index}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f'{index}: is no index of weights; expected {{"weight_map": {{TENSOR: FILE}}}}') from None
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w-][\w.-]*", name):  # rejects paths outside the folder
            raise ValueError(f"{index}: {name!r} is no name of a file beside it")
        if not name.endswith(".safetensors"):
            raise ValueError(f"{index}: {name} is not safetensors; save the weights with safe_serialization=True")
    return file_of
