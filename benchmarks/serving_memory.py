"""Memory that a server takes for exports: one version loaded, warmed up at its peak, and two while they are swapped.

    python benchmarks/serving_memory.py [NETWORK...]

Through TensorFlow's C API, with all signatures called at batch sizes 1, 2, 4 and 8, in a process of its own for each
row: weights as variables (what export.py writes), as constants (what version 0.1 wrote), and layers as they are
(--optimize=none); with the kit's settings of oneDNN, and with oneDNN off. Weights are drawn at random.
"""

import os
import sys
import tempfile
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_resnet import create_model
from keras_resnet.classification.signatures import classification_signatures
from keras_resnet.config import Export
from keras_resnet.export.graph import answers, fold, frozen_network, plain_network
from keras_resnet.export.memory import measure_memory
from keras_resnet.export.saved_model import write_saved_model
from keras_resnet.processor import SERVING, describe

SHAPE, BATCHES = (224, 224, 3), (1, 2, 4, 8)
SETTINGS = {
    "the kit's": SERVING,
    "oneDNN off": dict.fromkeys(SERVING, "0"),
}
NETWORKS = {
    "variables": lambda parts: plain_network(fold(parts)),
    "constants": lambda parts: frozen_network(plain_network(fold(parts)), parts.inputs[0].shape[1:]),
    "--optimize=none": plain_network,
}


def main(*names):
    print(f"{describe()}\n\n| | weights | settings | loaded | one version | two versions |\n|---|---|---|---|---|---|")
    for name in names or ("resnet18", "resnet50", "resnet152"):
        model = create_model(name, classifier_activation=None)
        preprocessing = replace(model.description.preprocessing, image_size=SHAPE[0], channels=SHAPE[2])
        labels = tuple(map(str, range(1000)))
        description = replace(model.description, labels=labels, preprocessing=preprocessing)
        for kind, network in NETWORKS.items():
            with tempfile.TemporaryDirectory() as path:
                signatures = classification_signatures(network(answers(model)), description, Export())
                write_saved_model(signatures, path, description)
                for setting, environment in SETTINGS.items():
                    os.environ.update(environment)
                    found = measure_memory(path, SHAPE, BATCHES)
                    sizes = [f"{found[key] / 1e9:.2f} GB" for key in ("loaded", "peak", "swapping_peak")]
                    print(f"| {name} | {kind} | {setting} | {' | '.join(sizes)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
