"""Counts the cost of a model from its graph, so a change of the blocks needs no change here.

complexity.json holds the cost of every network in `SPECS`, so `keras-resnet list` builds no network. A test compares it
with the models.

    python -m keras_resnet.analysis.complexity     rewrites the file
"""

import json
import math
import pathlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from keras_resnet.renamed import COMPLEXITY, SINCE

if TYPE_CHECKING:  # imported where a model is counted: reading the table takes no Keras
    import keras

FILE = pathlib.Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Complexity:
    """Cost of one image through a model.

    Attributes:
        macs: multiply-accumulate operations of convolutions and dense layers (the papers' "FLOPs").
        parameters: kernels, biases, scales and shifts, frozen ones included.
        activations: output elements of convolutions, dense layers and max pooling.
    """

    macs: int
    parameters: int
    activations: int

    def __getattr__(self, name):
        hint = f"; it was renamed in version {SINCE}: use {COMPLEXITY[name]}" if name in COMPLEXITY else ""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")


def complexity(model: "keras.Model") -> Complexity:
    """Counts a model's cost as pycls does (Radosavovic et al. 2019): normalization, ReLU and additions are free.

    Args:
        model: a functional model whose input has a known height and width.

    Raises:
        ValueError: the model is not functional, a layer's output size is unknown, or a layer is itself a model; the
            message names the layer.
    """
    from keras import layers

    from keras_resnet.analysis.intermediate_outputs import require_flat

    require_flat(model)
    macs = activations = 0
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            outputs = _outputs(layer)
            macs += outputs * (math.prod(layer.kernel.shape[:-1]) + layer.use_bias)
            activations += outputs
        elif isinstance(layer, layers.MaxPooling2D) and max(layer.pool_size) > 1:
            activations += _outputs(layer)
    return Complexity(macs, count_parameters(model), activations)


def count_parameters(model: "keras.Model") -> int:
    """Counts the kernels, biases, scales and shifts of any model, frozen ones included."""
    learned = [v for v in model.weights if not v.path.endswith(("moving_mean", "moving_variance"))]
    return sum(math.prod(variable.shape) for variable in learned)


def _outputs(layer):
    shape = layer.output.shape[1:]
    if None in shape:
        raise ValueError(f"{layer.name}: the output {shape} is unknown; build the model with an input_shape")
    return math.prod(shape)


def read_complexities() -> dict[str, dict[str, int]]:
    """Returns {model name: {"macs", "parameters", "activations"}} at the network's default image size and classes."""
    return json.loads(FILE.read_text())


def count_network(name: str) -> dict[str, int]:
    """Builds one network of `SPECS` and counts its cost."""
    from keras_resnet.builder import build
    from keras_resnet.specs import SPECS

    return asdict(complexity(build(SPECS[name])))


def main() -> None:
    """Rewrites complexity.json."""
    from keras_resnet.specs import SPECS

    FILE.write_text(json.dumps({name: count_network(name) for name in SPECS}, indent=1) + "\n")


if __name__ == "__main__":
    main()
