"""Verifies exported artifacts in a process without this package: outputs, speed, operators, warm-up requests.

As a script, it imports nothing of keras_resnet and prevents all other imports of it. It runs each artifact with the
loader of its format, a module that also imports nothing of keras_resnet:

    load(path)              returns (images (N, H, W, C) float32 -> logits (N, classes), {operator: count})
    expected(path, images)  optional: returns the scores that an artifact "made_from" this one should return
    replay(path)            optional: answers the artifact's warm-up requests and returns how many there are
"""

import importlib.util
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
    from keras_resnet.export.formats import EXPORT_FORMATS
    from keras_resnet.processor import SERVING

    loaded_by = [each | {"loader": EXPORT_FORMATS[each["format"]].loader_file()} for each in artifacts]
    job = json.dumps({"examples": os.path.join(folder, EXAMPLES), "artifacts": loaded_by})
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

    loader = _module(artifact["loader"])
    logits, operators = loader.load(artifact["path"])
    scores = "made_from" in artifact  # a file of batch 1
    if scores:
        images, real = np.concatenate([images[: min(real, _FEW)], images[real:]]), min(real, _FEW)
        expected = loader.expected(artifact["made_from"], images)
    actual = np.concatenate([logits(images[i : i + _CHUNK]) for i in range(0, len(images), _CHUNK)])
    found = {
        "parity": _parity(actual, expected, real, 1.0 if scores else float(np.abs(expected).max())),
        "operators": dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
    }
    requests = loader.replay(artifact["path"]) if hasattr(loader, "replay") else 0
    return found | _speed(logits, images), requests


def _module(path):
    spec = importlib.util.spec_from_file_location("loader", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception:
        traceback.print_exc()
        sys.exit(70)  # keras_resnet.errors.INTERNAL_ERROR; 1 means that an artifact fails
