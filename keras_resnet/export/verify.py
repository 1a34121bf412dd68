"""Verifies exported artifacts in a process without this package: outputs, speed, operators, warm-up requests.

As a script, it imports nothing of keras_resnet and prevents all other imports of it. It runs each artifact with the
loader of its format, a module that also imports nothing of keras_resnet:

    load(path)      returns (images (N, H, W, C) float32 -> {name: (N, ...)}, {operator: count})
    replay(path)    optional: answers the artifact's warm-up requests and returns how many there are

The outputs are compared by a module of `keras_resnet.export.comparisons`.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
import traceback

EXAMPLES = "examples.npz"  # images, number of real images, and the network's outputs
OUTPUT = "output_"  # begins the outputs' names there
SECONDS = 1.0  # at most, for one measurement
CHUNK = 16  # images of a call, at most
_FEW = 24  # real images on which a file of batch 1 is compared with the file that it was made from


def verify_in_child(folder: str, artifacts: list[dict], comparison: str, chunk: int, batches: tuple[int, ...]) -> dict:
    """Compares artifacts with `folder`/examples.npz, in a new Python process.

    Args:
        folder: holds the examples.
        artifacts: {"format", "path"} of each, and "made_from" of one that is compared with another artifact.
        comparison: name of the module that compares outputs.
        chunk: images of a call, for the comparison.
        batches: images of a call, for the speed.

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
    comparing = os.path.join(os.path.dirname(__file__), "comparisons", f"{comparison}.py")
    job: dict = {"examples": os.path.join(folder, EXAMPLES), "artifacts": loaded_by, "comparison": comparing}
    job |= {"chunk": chunk, "batches": batches}
    child = subprocess.run(
        [sys.executable, "-I", os.path.abspath(__file__), json.dumps(job)],
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
        images, real = examples["images"], int(examples["real"])
        expected = {name.removeprefix(OUTPUT): examples[name] for name in examples.files if name.startswith(OUTPUT)}
    comparison = _module(job["comparison"])
    found, requests = [], 0
    for artifact in job["artifacts"]:
        try:
            measured, count = _measured(artifact, images, expected, real, comparison, job["chunk"], job["batches"])
        except Exception as error:  # any error of a runtime that refuses the file
            sys.exit(f"{artifact['path']}: {type(error).__name__}: {' '.join(str(error).split())}")
        found.append(measured)
        requests += count
    print(json.dumps({"artifacts": found, "warmup_requests": requests}))


def _measured(artifact, images, expected, real, comparison, chunk, batches):
    """Returns (results, number of answered warm-up requests) of one artifact."""
    import numpy as np

    loader = _module(artifact["loader"])
    run, operators = loader.load(artifact["path"])
    if "made_from" in artifact:  # a file of batch 1
        images, real = np.concatenate([images[: min(real, _FEW)], images[real:]]), min(real, _FEW)
        expected = _outputs(loader.load(artifact["made_from"])[0], images, 1)
    found = {
        "parity": comparison.compared(_outputs(run, images, chunk), expected, real),
        "operators": dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
    }
    requests = loader.replay(artifact["path"]) if hasattr(loader, "replay") else 0
    return found | _speed(run, images, batches), requests


def _outputs(run, images, batch):
    """Returns the outputs {name: (N, ...)} for all images, `batch` in each call."""
    import numpy as np

    parts = [run(images[i : i + batch]) for i in range(0, len(images), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _module(path):
    spec = importlib.util.spec_from_file_location("loader", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _speed(run, images, batches):
    """Returns median latency in ms and throughput in images per second, at each batch size."""
    import numpy as np

    latency, throughput = {}, {}
    for batch in batches:
        sample = np.resize(images, (batch, *images.shape[1:]))
        run(sample)
        times: list[float] = []
        end = time.perf_counter() + SECONDS
        while len(times) < 3 or (len(times) < 50 and time.perf_counter() < end):
            began = time.perf_counter()
            run(sample)
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
