"""Warnings about settings and results that users of a run often regret."""

import pkgutil

import keras

from keras_resnet.config import Config
from keras_resnet.layers import flat_layers
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.logs import read_metrics
from keras_resnet.tasks import TASKS

# The error of ResNet-50 on ImageNet grows by 0.1 % from 32 images to 16, by 1.2 to 8, by 3.7 to 4 (Wu and He 2018,
# table 2).
FEW_IMAGES = 16


def at_start(config: Config, model: keras.Model, replicas: int, has_weights: bool) -> list[str]:
    """Returns warnings about the settings of a new run.

    Args:
        config: the run's configuration.
        model: the model, after `prepare`.
        replicas: number of replicas.
        has_weights: whether the run starts from weights.
    """
    train = config.train
    if train.batch_norm in ("frozen", "constant") and not has_weights:
        kept = f"train.batch_norm: {train.batch_norm} keeps"
        return [f"{kept} mean 0 and variance 1 of new weights, and such a run may diverge; set model.weights"]
    images = train.batch_size // train.gradient_accumulation_steps
    images //= 1 if train.batch_norm == "synchronized" else replicas
    if images >= FEW_IMAGES or not _learns_statistics(model):
        return []
    ways = ["train.batch_norm=frozen"] if has_weights else []
    if train.batch_norm != "synchronized" and images * replicas >= FEW_IMAGES:
        ways.append("train.batch_norm=synchronized")
    if train.gradient_accumulation_steps > 1:
        ways.append("fewer train.gradient_accumulation_steps")
    ways.append("a larger train.batch_size")
    return [
        f"batch normalization over {images} image{'s' * (images > 1)} (train.batch_size {train.batch_size}, "
        f"{replicas} replica{'s' * (replicas > 1)}) reduces the accuracy, below about {FEW_IMAGES} images; "
        f"set {' or '.join(ways)}"
    ]


def at_end(task, model: keras.Model, folder: RunFolder) -> list[str]:
    """Returns warnings about the results of a finished run, from its metrics and the task's own examination."""
    newest: dict[str, float] = {}
    for line in read_metrics(folder.metrics):
        newest |= line
    data = task.config.data
    if data.on_unreadable_image == "skip" and not any(name.startswith("validation/") for name in newest):
        return [
            f"no validation image can be read, so the weights were not evaluated; `verify-data {data.name}` lists all"
        ]
    examine = TASKS[task.config.task].findings
    if not examine:
        return []
    return pkgutil.resolve_name(examine)(task, model, newest)


def _learns_statistics(model):
    return any(
        isinstance(layer, keras.layers.BatchNormalization) and layer.trainable and not layer.frozen_statistics
        for layer in flat_layers(model)
    )
