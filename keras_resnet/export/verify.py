"""Verifies exported artifacts in a process without this package: outputs, speed, operators, warm-up requests.

As a script, it imports nothing of keras_resnet and prevents all other imports of it.
"""

import json
import os
import subprocess
import sys
import time
import traceback

EXAMPLES = "examples.npz"  # images, logits of the network, and number of real images
BATCHES = (1, 8)  # of the speed measurements
SECONDS = 1.0  # at most, for one measurement
_CHUNK = 16
_FEW = 24  # real images on which a file of batch 1 is compared with the file that it was made from


def verify_in_child(folder: str, artifacts: list[dict]) -> dict:
    """Compares artifacts with `folder`/examples.npz, in a new Python process.

    Args:
        folder: holds the examples.
        artifacts: {"format", "path"} of each.

    Returns:
        {"artifacts": [{"parity", "latency_ms", "images_per_second", "operators"}, ...], "warmup_requests": n}.

    Raises:
        CheckError: an artifact does not load in that process, or a warm-up request fails.
        RuntimeError: the process itself fails; the message is its stderr.
    """
    from keras_resnet.errors import CheckError  # imported here: the child has no such package
    from keras_resnet.processor import SERVING

    job = json.dumps({"examples": os.path.join(folder, EXAMPLES), "artifacts": artifacts})
    child = subprocess.run(
        [sys.executable, "-I", os.path.abspath(__file__), job],
        capture_output=True,
        text=True,
        check=False,
        env=SERVING | os.environ,
    )
    if child.returncode == 1:
        reason = child.stderr.strip().splitlines()[-1]
        raise CheckError(f"not published, an artifact fails in a process without this package: {reason}")
    if child.returncode:
        raise RuntimeError(f"the process that verifies artifacts ended with {child.returncode}:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def main(job):
    """Prints the results as JSON."""
    sys.modules["keras_resnet"] = None  # type: ignore[assignment]  # importing it fails from here on
    import numpy as np

    job = json.loads(job)
    with np.load(job["examples"]) as examples:
        images, expected, real = examples["images"], examples["logits"], int(examples["real"])
    found, requests = [], 0
    for artifact in job["artifacts"]:
        try:
            measured, count = _measured(artifact, images, expected, real)
        except Exception as error:  # any error of a runtime that refuses the file
            sys.exit(f"{artifact['path']}: {type(error).__name__}: {' '.join(str(error).split())}")
        found.append(measured)
        requests += count
    print(json.dumps({"artifacts": found, "warmup_requests": requests}))


def _measured(artifact, images, expected, real):
    """Returns (results, number of answered warm-up requests) of one artifact."""
    import numpy as np

    logits, operators = _LOADERS[artifact["format"]](artifact["path"])
    scores = "made_from" in artifact  # a file of batch 1
    if scores:
        images, real = np.concatenate([images[: min(real, _FEW)], images[real:]]), min(real, _FEW)
        expected = _litert_scores(artifact["made_from"], images)
    actual = np.concatenate([logits(images[i : i + _CHUNK]) for i in range(0, len(images), _CHUNK)])
    found = {
        "parity": _parity(actual, expected, real, 1.0 if scores else float(np.abs(expected).max())),
        "operators": dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
    }
    requests = replay(artifact["path"]) if artifact["format"] == "saved_model" else 0
    return found | _speed(logits, images), requests


def _parity(actual, expected, real, scale):
    import numpy as np

    if actual.shape != expected.shape or not np.isfinite(actual).all():
        raise ValueError(f"logits of shape {actual.shape}, expected {expected.shape} and finite")
    error = float(np.abs(actual - expected).max())
    same = actual[:real].argmax(1) == expected[:real].argmax(1)
    return {
        "max_abs_error": error,
        "relative_error": error / scale,
        "top1_agreement": float(same.mean()) if real else None,
        "real_images": real,
        "images": len(expected),
    }


def _speed(logits, images):
    """Returns median latency in ms and throughput in images per second, at each batch size."""
    import numpy as np

    latency, throughput = {}, {}
    for batch in BATCHES:
        sample = np.resize(images, (batch, *images.shape[1:]))
        logits(sample)
        times: list[float] = []
        end = time.perf_counter() + SECONDS
        while len(times) < 3 or (len(times) < 50 and time.perf_counter() < end):
            began = time.perf_counter()
            logits(sample)
            times.append(time.perf_counter() - began)
        latency[str(batch)] = round(1000 * float(np.median(times)), 3)
        throughput[str(batch)] = round(batch / float(np.median(times)), 2)
    return {"latency_ms": latency, "images_per_second": throughput}


def _saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    graph = loaded.signatures["predict_images"].graph.as_graph_def()
    nodes = [node for function in graph.library.function for node in function.node_def] + list(graph.node)

    def logits(images):
        return loaded.signatures["predict_images"](images=tf.constant(images))["logits"].numpy()

    return logits, _counted(node.op for node in nodes if node.op not in ("NoOp", "Identity", "Placeholder"))


def _litert(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=os.cpu_count())
    names = [operator["op_name"] for operator in interpreter._get_ops_details()]
    foreign = sorted({name for name in names if name.startswith("Flex") or name == "CUSTOM"})
    if foreign:
        raise ValueError(f"{path}: has operators that are not builtin: {', '.join(foreign)}")
    runner = interpreter.get_signature_runner("predict_images")
    counted = _counted(n for n in names if n != "DELEGATE")
    taken, given = runner.get_input_details()["images"], runner.get_output_details()
    if "logits" in given:
        return lambda images: runner(images=images)["logits"].copy(), counted

    def scores(images):  # one image at a time
        import numpy as np

        answers = [runner(images=_to_type(image[None], taken))["scores"] for image in images]
        return _from_type(np.concatenate(answers), given["scores"])

    return scores, counted


def _litert_scores(path, images):
    """Returns the scores of a file of free batch size, one image at a time."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=os.cpu_count()).get_signature_runner("predict_images")
    return np.concatenate([runner(images=image[None])["scores"] for image in images])


def _to_type(values, details):
    """Converts float32 to the type of a tensor, by its scale and zero point if it is quantized."""
    import numpy as np

    scale, zero = details["quantization"]
    if details["dtype"] == np.float32:
        return values
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _from_type(values, details):
    import numpy as np

    scale, zero = details["quantization"]
    return values if details["dtype"] == np.float32 else (values.astype(np.float32) - zero) * np.float32(scale)


def _onnx(path):
    import onnx
    import onnxruntime

    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = _counted(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)
    return lambda images: session.run(["logits"], {"images": images})[0], names


_LOADERS = {"saved_model": _saved_model, "litert": _litert, "onnx": _onnx}


def _counted(names):
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def replay(path):
    """Answers every warm-up request as TensorFlow Serving would, and returns how many there are.

    Raises:
        ValueError: an output does not have a row for each image, or an image is unreadable.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = tf.saved_model.load(path)
    records = list(tf.data.TFRecordDataset(os.path.join(path, "assets.extra", "tf_serving_warmup_requests")))
    for record in records:
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        name = request.model_spec.signature_name
        outputs = loaded.signatures[name](**inputs)
        rows = next(iter(inputs.values())).shape[0]
        wrong = [key for key, value in outputs.items() if value.shape[0] != rows]
        if wrong or any(status != b"OK" for status in outputs.get("status", tf.constant([], tf.string)).numpy()):
            raise ValueError(f"warm-up request of {name}, {rows} images: {wrong or outputs['status'].numpy()}")
    return len(records)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception:
        traceback.print_exc()
        sys.exit(70)  # keras_resnet.errors.INTERNAL_ERROR; 1 means that an artifact fails
