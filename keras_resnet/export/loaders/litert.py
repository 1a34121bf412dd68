"""Loads a .tflite file with builtin operators, of free batch size or of batch 1, in the verifying process."""

import os
from collections import Counter

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def load(path):
    """Returns (images -> outputs, {operator: count}).

    Raises:
        ValueError: an operator is not builtin.
    """
    interpreter = Interpreter(path, num_threads=os.cpu_count())
    names = _operators(path)
    foreign = sorted({name for name in names if name.startswith("Flex") or name == "CUSTOM"})
    if foreign:
        raise ValueError(f"{path}: has operators that are not builtin: {', '.join(foreign)}")
    runner = interpreter.get_signature_runner("predict_images")
    taken, given = runner.get_input_details()["images"], runner.get_output_details()
    one_by_one = int(taken.get("shape_signature", taken["shape"])[0]) == 1

    def run(images):
        batches = np.split(images, len(images)) if one_by_one else [images]
        found = [runner(images=_to_type(batch, taken)) for batch in batches]
        parts = {name: np.concatenate([each[name] for each in found]) for name in given}
        return {name: _from_type(values, given[name]) for name, values in parts.items()}

    return run, Counter(names)


def _operators(path):
    """Returns the name of every operator, also of those inside loops."""
    model = flatbuffer_utils.read_model(path)
    codes = [_name(code) for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for graph in model.subgraphs for operator in graph.operators]


def _name(code):
    if code.customCode:
        name = code.customCode.decode()
        return name if name.startswith("Flex") else "CUSTOM"
    return _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _to_type(values, details):
    """Converts float32 to the type of a tensor, by its scale and zero point if it is quantized."""
    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return values
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _from_type(values, details):
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values
