"""Provides the teacher of a distillation (Hinton et al. 2015): a network of this package, or an exported one."""

import os
from collections.abc import Callable

import tensorflow as tf

from keras_resnet.applications import from_weights
from keras_resnet.description import different_classes
from keras_resnet.errors import ConfigError

_BEST = os.path.join("weights", "best.safetensors")  # in a run's folder
_GRAPH = "saved_model.pb"


class Teacher:
    """The function images (N, H, W, C) in [0, 255] -> logits (N, classes) float32 of a trained network.

    The images are those of the student, after augmentation. The network normalizes them itself, with the mean and
    standard deviation of its own training. A network sees them at their size, an exported one at the size that it was
    exported with. A strategy's scope must be entered when it is loaded.

    Args:
        source: a run's folder, weights as for `from_weights`, or the folder of an exported SavedModel.
        labels: the student's class names.
        channels: of the student's images.

    Attributes:
        is_exported: whether it is a SavedModel.

    Raises:
        ConfigError: there is no teacher, or it has other classes.
    """

    def __init__(self, source: str, labels: tuple[str, ...], channels: int):
        folder = _exported(source)
        self.is_exported = folder is not None
        try:
            self._logits, outputs, names = _load_saved_model(folder) if folder else _load_network(source, channels)
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise ConfigError(f"train.teacher: {str(error).splitlines()[0]}") from None
        if outputs != len(labels):
            raise ConfigError(f"train.teacher: {source}: has {outputs} classes, the student {len(labels)}")
        difference = different_classes(names, labels) if names else ""
        if difference:
            raise ConfigError(f"train.teacher: {source}: its classes are not the student's: {difference}")

    def __call__(self, images):
        """images (N, H, W, C) in [0, 255] -> logits (N, classes) float32, without gradients."""
        return tf.stop_gradient(tf.cast(self._logits(images), tf.float32))


def _exported(source):
    """Returns the folder of a SavedModel: `source`, or its newest version; None if there is none."""
    if os.path.isfile(os.path.join(source, _GRAPH)):
        return source
    versions = [name for name in (os.listdir(source) if os.path.isdir(source) else ()) if name.isdecimal()]
    folders = [os.path.join(source, name) for name in sorted(versions, key=int)]
    return next((folder for folder in reversed(folders) if os.path.isfile(os.path.join(folder, _GRAPH))), None)


def _load_network(source, channels) -> tuple[Callable, int, tuple[str, ...]]:
    """Returns (function, number of classes, class names or ()) of weights."""
    best = os.path.join(source, _BEST)
    if os.path.isfile(os.path.join(source, "config.yaml")) and not os.path.isfile(best):
        raise ValueError(f"{source}: a run without {_BEST}; train it first")
    weights = best if os.path.isfile(best) else source
    model = from_weights(weights, classifier_activation=None, input_shape=(None, None, channels))
    model.trainable = False
    return lambda images: model(images, training=False), model.output_shape[-1], model.description.labels


def _load_saved_model(folder) -> tuple[Callable, int, tuple[str, ...]]:
    """Returns (function, number of classes, class names or ()) of an exported SavedModel."""
    loaded = tf.saved_model.load(folder)
    network = loaded.signatures["network"] if "network" in loaded.signatures else loaded.signatures["predict_images"]
    shape, outputs = network.structured_input_signature[1]["images"].shape, network.structured_outputs["logits"]
    try:
        with open(os.path.join(folder, "assets.extra", "labels.txt"), encoding="utf-8") as file:
            names = tuple(file.read().removesuffix("\n").split("\n"))
    except OSError:
        names = ()

    def logits(images, loaded=loaded):  # which keeps the variables alive
        if images.shape[3] != shape[3]:
            raise ConfigError(f"train.teacher: {folder}: takes {shape[3]} channels, the images have {images.shape[3]}")
        if shape[1] and tuple(images.shape[1:3]) != tuple(shape[1:3]):
            images = tf.image.resize(images, shape[1:3])
        return network(images=images)["logits"]

    return logits, outputs.shape[-1], names if len(names) == outputs.shape[-1] else ()
