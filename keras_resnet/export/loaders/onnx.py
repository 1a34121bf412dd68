"""Checks and loads an .onnx file in the verifying process."""

from collections import Counter

import onnx
import onnxruntime


def load(path):
    """Returns (images -> logits, {operator: count}).

    Raises:
        onnx.checker.ValidationError: the file is not valid ONNX.
    """
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)
    return lambda images: session.run(["logits"], {"images": images})[0], names
