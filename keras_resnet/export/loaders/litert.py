"""Loads a .tflite file with builtin operators, of free batch size or of batch 1, in the verifying process."""

import os
from collections import Counter

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load(path):
    """Returns (images -> logits, or scores of a file of batch 1; {operator: count}).

    Raises:
        ValueError: an operator is not builtin.
    """
    interpreter = Interpreter(path, num_threads=os.cpu_count())
    names = [operator["op_name"] for operator in interpreter._get_ops_details()]
    foreign = sorted({name for name in names if name.startswith("Flex") or name == "CUSTOM"})
    if foreign:
        raise ValueError(f"{path}: has operators that are not builtin: {', '.join(foreign)}")
    runner = interpreter.get_signature_runner("predict_images")
    counted = Counter(name for name in names if name != "DELEGATE")
    taken, given = runner.get_input_details()["images"], runner.get_output_details()
    if "logits" in given:
        return lambda images: runner(images=images)["logits"].copy(), counted

    def scores(images):  # one image at a time
        answers = [runner(images=_to_type(image[None], taken))["scores"] for image in images]
        return _from_type(np.concatenate(answers), given["scores"])

    return scores, counted


def expected(path, images):
    """Returns the scores of a file of free batch size, one image at a time."""
    runner = Interpreter(path, num_threads=os.cpu_count()).get_signature_runner("predict_images")
    return np.concatenate([runner(images=image[None])["scores"] for image in images])


def _to_type(values, details):
    """Converts float32 to the type of a tensor, by its scale and zero point if it is quantized."""
    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return values
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _from_type(values, details):
    scale, zero = details["quantization"]
    return values if details["dtype"] == np.float32 else (values.astype(np.float32) - zero) * np.float32(scale)
