"""What every row of `SPECS` costs, kept in complexity_of_rows.json so that `list` need not build forty networks.

python -m keras_resnet.analysis.complexity_of_rows     writes the file again; a test holds it against the models
"""

import json
import pathlib

FILE = pathlib.Path(__file__).with_suffix(".json")


def read() -> dict[str, dict[str, int]]:
    """{row: {"macs", "parameters", "activations"}} at the row's own image size and classes."""
    return json.loads(FILE.read_text())


def count(name: str) -> dict[str, int]:
    """Builds one row and counts."""
    from dataclasses import asdict

    from keras_resnet.analysis.complexity import complexity
    from keras_resnet.builder import build
    from keras_resnet.specs import SPECS

    return asdict(complexity(build(SPECS[name])))


if __name__ == "__main__":
    from keras_resnet.specs import SPECS

    FILE.write_text(json.dumps({name: count(name) for name in SPECS}, indent=1) + "\n")
