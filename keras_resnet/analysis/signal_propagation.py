"""What the analysis of gradients measures: norms in every layer, at initialization and while networks are trained."""

import math
from dataclasses import replace

import numpy as np

from keras_resnet.analysis.experiment import Experiment, Measurement, Training
from keras_resnet.analysis.instrumented_runs import images_and_labels, probe_run, short
from keras_resnet.specs import SPECS, variant

INITIALIZATIONS = ("small", "xavier", "he", "large")
SIDE = 32  # pixels of the images at initialization: the paper's. On smaller ones the zeros of the padding weigh more.
IMAGES, PROBED_IMAGES = 16, 64
STEPS, PROBE_EVERY, RATE = 200, 40, 0.01  # of the short trainings
SMALLEST, LARGEST = 1e-45, 1e39  # what float32 can hold, and the next beyond

MERGES = {"plain": "cifar_plain20", "residual": "cifar_resnet20"}
TRAINED = {("plain", 20): "cifar_plain20", ("plain", 56): "cifar_plain56"}
TRAINED |= {("residual", 20): "cifar_resnet20", ("residual", 56): "cifar_resnet56"}


def initial(family: str, normalization: str, activation: str, depths: tuple[int, ...], seed: int) -> Measurement:
    """Norms of fresh networks of several depths, with every initialization."""
    arguments = (("family", family), ("normalization", normalization), ("activation", activation))
    arguments += (("depths", depths), ("seed", seed))  # type: ignore[assignment]
    return Measurement("keras_resnet.analysis.signal_propagation:initial_norms", arguments, seconds=0.1 * sum(depths))


def trained(family: str, depth: int, normalization: str, seed: int) -> Measurement:
    """Norms of a network while it is trained."""
    arguments = (("family", family), ("depth", depth), ("normalization", normalization), ("seed", seed))
    return Measurement(
        "keras_resnet.analysis.signal_propagation:norms_in_training", arguments, seconds=10 + 0.4 * depth
    )


def initial_norms(
    experiment: Experiment, family: str, normalization: str, activation: str, depths: list[int], seed: int
) -> dict[str, dict[str, dict]]:
    """Builds networks and measures them in training mode on a batch.

    Returns:
        {initialization: {depth: what `norms` returns}}.
    """
    import keras

    from keras_resnet.builder import build
    from keras_resnet.task import load_task

    row = MERGES[family]
    task = load_task(experiment.config_of(Training(row, seed, (f"data.image_size={SIDE}",))))
    images, labels = images_and_labels(task, IMAGES)
    found: dict[str, dict[str, dict]] = {name: {} for name in INITIALIZATIONS}
    for initialization in INITIALIZATIONS:
        axes: dict = {"normalization": normalization, "activation": activation, "initialization": initialization}
        for depth in depths:
            keras.utils.set_random_seed(seed)
            spec = variant(replace(SPECS[row], depths=((depth - 2) // 6,) * 3), **axes)
            model = build(spec, classes=len(task.labels), input_shape=images.shape[1:])
            found[initialization][str(depth)] = norms(model, images, labels)
            keras.backend.clear_session()
    return found


def norms_in_training(experiment: Experiment, family: str, depth: int, normalization: str, seed: int) -> dict:
    """Trains a network for some steps and measures it at first and at checkpoints, as `probe_run` returns it."""
    from keras_resnet.task import load_task

    changes = (f"model.normalization={normalization}", f"train.learning_rate={RATE}")
    training = Training(TRAINED[family, depth], seed, short(STEPS, PROBE_EVERY, *changes))
    images, labels = images_and_labels(load_task(experiment.config_of(training)), PROBED_IMAGES)
    return probe_run(experiment, training, lambda model: norms(model, images, labels))


def norms(model, images: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """log10 of what each 3x3 layer reads and gets, in the graph's order.

    Returns:
        {"activation": of the root mean square of the layer's input, "gradient": of the norm of the loss's gradient by
        its output, "kernel": by its kernel}; all within what float32 can hold. NaN counts as beyond.
    """
    from keras_resnet.analysis.norms import activation_norms, gradient_norms

    activations, gradients = activation_norms(model, images), gradient_norms(model, images, labels)
    kept = [i for i, name in enumerate(gradients["layer"]) if "conv" in name]
    columns = {"activation": activations["input"], "gradient": gradients["output"], "kernel": gradients["kernel"]}
    return {name: [_log(value) for value in column[kept]] for name, column in columns.items()}


def _log(value):
    return round(math.log10(min(max(value, SMALLEST), LARGEST) if value == value else LARGEST), 4)
