"""How long ResNet50() takes to build, beside keras.applications.ResNet50(weights=None).

    python benchmarks/build_time.py [repeats]

Builds them in turn in one process and prints the ratio pair by pair, so that a machine whose speed drifts
does not decide.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_resnet


def seconds(build):
    keras.backend.clear_session()
    began = time.perf_counter()
    build()
    return time.perf_counter() - began


def main(repeats=9):
    builders = {
        "keras_resnet.ResNet50()": keras_resnet.ResNet50,
        "keras.applications.ResNet50(weights=None)": lambda: keras.applications.ResNet50(weights=None),
    }
    for build in builders.values():
        build()
    pairs = [[seconds(build) for build in builders.values()] for _ in range(repeats)]
    for name, times in zip(builders, zip(*pairs, strict=True), strict=True):
        print(f"{name:<44} median {statistics.median(times):.2f} s   ({min(times):.2f} to {max(times):.2f})")
    ratios = [ours / theirs for ours, theirs in pairs]
    print(f"{'ratio':<44} median {statistics.median(ratios):.2f}     ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
