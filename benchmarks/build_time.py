"""How long ResNet50() takes to build, beside keras.applications' and beside building and loading from a file.

    python benchmarks/build_time.py [repeats]

Builds them in turn in one process and prints the ratios round by round, so that a machine whose speed drifts
does not decide. Loading is what building with torchvision-named weights takes longer.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_resnet


def seconds(build):
    keras.backend.clear_session()
    began = time.perf_counter()
    build()
    return time.perf_counter() - began


def tell(name, values, unit=""):
    spread = f"({min(values):.2f} to {max(values):.2f})"
    print(f"{name:<44} median {statistics.median(values):.2f}{unit:<3} {spread}")


def main(repeats=9):
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(None):  # what from_weights assumes
        path = os.path.join(folder, "resnet50.safetensors")
        keras_resnet.save_weights(keras_resnet.ResNet50(version="1.5"), path, to="torchvision")
        builders = {
            "keras_resnet.ResNet50()": keras_resnet.ResNet50,
            "keras.applications.ResNet50(weights=None)": lambda: keras.applications.ResNet50(weights=None),
            "keras_resnet.from_weights(FILE)": lambda: keras_resnet.from_weights(path),
        }
        for build in builders.values():
            build()
        rounds = [[seconds(build) for build in builders.values()] for _ in range(repeats)]
    for name, times in zip(builders, zip(*rounds, strict=True), strict=True):
        tell(name, times, " s")
    tell("building, ours / theirs", [ours / theirs for ours, theirs, _ in rounds])
    tell("loading / building", [(loaded - ours) / ours for ours, _, loaded in rounds])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
