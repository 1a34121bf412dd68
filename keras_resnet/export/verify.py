"""Reloads exported artifacts where this package cannot be imported, and compares their logits.

Run as a script, it imports nothing of keras_resnet and refuses to let anything else do so.
"""

import json
import os
import subprocess
import sys

SAVED_MODEL, LITERT, EXAMPLES, REPORT = "saved_model", "model.tflite", "examples.npz", "export_report.json"
TOLERANCES = {"saved_model": 1e-5, "litert": 1e-4}  # of the largest logit


def verify_in_child(folder: str) -> dict:
    """Compares what lies in `folder` with its examples.npz, in a fresh Python process.

    Returns:
        {"saved_model": {"relative_error", "tolerance", "holds"}, "litert": {...}}.

    Raises:
        RuntimeError: an artifact does not load there; the message is the child's.
    """
    child = subprocess.run(
        [sys.executable, "-I", os.path.abspath(__file__), folder], capture_output=True, text=True, check=False
    )
    if child.returncode:
        raise RuntimeError(f"the exported artifacts do not load in a process of their own:\n{child.stderr}")
    errors = json.loads(child.stdout.splitlines()[-1])
    return {
        name: {"relative_error": error, "tolerance": TOLERANCES[name], "holds": error <= TOLERANCES[name]}
        for name, error in errors.items()
    }


def main(folder):
    """Prints {"saved_model": relative error, "litert": relative error} as JSON."""
    sys.modules["keras_resnet"] = None  # type: ignore[assignment]  # importing it fails from here on
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    examples = np.load(os.path.join(folder, EXAMPLES))
    images, expected = examples["images"], examples["logits"]

    loaded = tf.saved_model.load(os.path.join(folder, SAVED_MODEL))
    from_saved_model = loaded.signatures["predict_images"](images=tf.constant(images))["logits"].numpy()

    interpreter = Interpreter(os.path.join(folder, LITERT), num_threads=1)
    from_litert = interpreter.get_signature_runner("predict_images")(images=images)["logits"]

    def relative(actual):
        return float(np.abs(actual - expected).max() / np.abs(expected).max())

    print(json.dumps({"saved_model": relative(from_saved_model), "litert": relative(from_litert)}))


if __name__ == "__main__":
    main(sys.argv[1])
