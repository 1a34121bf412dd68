"""Provides the cost of every network in `SPECS` from complexity_of_rows.json, so `list` does not build 40 networks.

python -m keras_resnet.analysis.complexity_of_rows     rewrites the file; a test compares it with the models
"""

import json
import pathlib

FILE = pathlib.Path(__file__).with_suffix(".json")


def read() -> dict[str, dict[str, int]]:
    """Returns {model name: {"macs", "parameters", "activations"}} at the network's default image size and classes."""
    return json.loads(FILE.read_text())


def count(name: str) -> dict[str, int]:
    """Builds one network and counts its cost."""
    from dataclasses import asdict

    from keras_resnet.analysis.complexity import complexity
    from keras_resnet.builder import build
    from keras_resnet.specs import SPECS

    return asdict(complexity(build(SPECS[name])))


if __name__ == "__main__":
    from keras_resnet.specs import SPECS

    FILE.write_text(json.dumps({name: count(name) for name in SPECS}, indent=1) + "\n")
