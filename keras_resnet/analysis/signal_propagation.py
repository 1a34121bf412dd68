"""Measures the norms in every layer at initialization and during training, for the analysis of gradients."""

import math
from dataclasses import replace

import numpy as np

from keras_resnet.analysis.experiment import Experiment, Measurement, Training
from keras_resnet.analysis.instrumented_runs import images_and_labels, probe_run, short
from keras_resnet.specs import SPECS, variant

INITIALIZATIONS = ("small", "xavier", "he", "large")
SIDE = 32  # pixels; image size at initialization, as in the paper. On smaller images zero padding matters more.
IMAGES, PROBED_IMAGES = 16, 64
STEPS, PROBE_EVERY, RATE = 200, 40, 0.01  # of the short runs
SMALLEST, LARGEST = 1e-45, 1e39  # about the smallest positive float32, and a value above the largest

MERGES = {"plain": "cifar_plain20", "residual": "cifar_resnet20"}
TRAINED = {("plain", 20): "cifar_plain20", ("plain", 56): "cifar_plain56"}
TRAINED |= {("residual", 20): "cifar_resnet20", ("residual", 56): "cifar_resnet56"}


def initial(family: str, normalization: str, activation: str, depths: tuple[int, ...], seed: int) -> Measurement:
    """Returns the job that measures untrained networks of several depths, with every initialization."""
    arguments = (("family", family), ("normalization", normalization), ("activation", activation))
    arguments += (("depths", depths), ("seed", seed))  # type: ignore[assignment]
    return Measurement("keras_resnet.analysis.signal_propagation:initial_norms", arguments, seconds=0.1 * sum(depths))


def trained(family: str, depth: int, normalization: str, seed: int) -> Measurement:
    """Returns the job that measures a network during training."""
    arguments = (("family", family), ("depth", depth), ("normalization", normalization), ("seed", seed))
    return Measurement(
        "keras_resnet.analysis.signal_propagation:norms_in_training", arguments, seconds=10 + 0.4 * depth
    )


def initial_norms(
    experiment: Experiment, family: str, normalization: str, activation: str, depths: list[int], seed: int
) -> dict[str, dict[str, dict]]:
    """Builds networks and measures them in training mode on a batch.

    Returns:
        {initialization: {depth: result of `norms`}}.
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
    """Trains a network for `STEPS` steps and measures it at every checkpoint; returns the result of `probe_run`."""
    from keras_resnet.task import load_task

    changes = (f"model.normalization={normalization}", f"train.learning_rate={RATE}")
    training = Training(TRAINED[family, depth], seed, short(STEPS, PROBE_EVERY, *changes))
    images, labels = images_and_labels(load_task(experiment.config_of(training)), PROBED_IMAGES)
    return probe_run(experiment, training, lambda model: norms(model, images, labels))


def norms(model, images: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """Returns log10 of the signals of each 3x3 layer, in the graph's order.

    Returns:
        {"activation": root mean square of the layer's input, "gradient": norm of the loss's gradient with respect to
        its output, "kernel": the same with respect to its kernel}. Values are clipped to [`SMALLEST`, `LARGEST`]
        before log10; NaN counts as `LARGEST`.
    """
    from keras_resnet.analysis.norms import activation_norms, gradient_norms

    activations, gradients = activation_norms(model, images), gradient_norms(model, images, labels)
    kept = [i for i, name in enumerate(gradients["layer"]) if "conv" in name]
    columns = {"activation": activations["input"], "gradient": gradients["output"], "kernel": gradients["kernel"]}
    return {name: [_log(value) for value in column[kept]] for name, column in columns.items()}


def _log(value):
    return round(math.log10(min(max(value, SMALLEST), LARGEST) if value == value else LARGEST), 4)
