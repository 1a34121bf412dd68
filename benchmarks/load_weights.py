"""How long ResNet-50 takes to load from a torchvision-named safetensors file, beside building it.

    python benchmarks/load_weights.py [repeats]

Builds without and with the file in turn in one process; loading is what the second takes longer.
"""

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


def main(repeats=9):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "resnet50.safetensors")
        keras_resnet.save_weights(keras_resnet.ResNet50(version="1.5"), path, to="torchvision")
        builders = (keras_resnet.ResNet50, lambda: keras_resnet.from_weights(path))
        for build in builders:
            build()
        pairs = [[seconds(build) for build in builders] for _ in range(repeats)]
    built, loaded = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = [(whole - alone) / alone for alone, whole in pairs]
    print(f"building {built:.2f} s, building and loading {loaded:.2f} s (medians of {repeats})")
    print(f"loading / building: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
