"""Checks and loads an .onnx file in the verifying process."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime


def load(path):
    """Returns (images -> outputs, {operator: count}).

    Raises:
        onnx.checker.ValidationError: the file is not valid ONNX.
    """
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)
    outputs = [output.name for output in session.get_outputs()]
    one_by_one = session.get_inputs()[0].shape[0] == 1

    def run(images):
        batches = np.split(images, len(images)) if one_by_one else [images]
        found = [session.run(outputs, {"images": batch}) for batch in batches]
        return {name: np.concatenate(parts) for name, parts in zip(outputs, zip(*found, strict=True), strict=True)}

    return run, names
