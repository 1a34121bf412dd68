"""Writes signatures as a SavedModel, with the model description next to the graph."""

import os
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnet.description import Description
from keras_resnet.model import write_description

EXTRA = "assets.extra"  # where TF Serving and others read files that are not part of the graph


def write_saved_model(signatures: dict[str, tuple[Callable, list]], path: str, description: Description) -> None:
    """Writes signatures {name: (function, input specs)}, the default one first.

    Args:
        signatures: the signatures of the model.
        path: the folder to create.
        description: written next to the graph, its labels also as labels.txt.
    """
    # The archive finds the variables that functions read; tracking the model too would store all weights twice.
    archive = keras.export.ExportArchive()
    for name, (function, specs) in signatures.items():
        archive.add_endpoint(name, function, input_signature=specs)
    archive.write_out(path, verbose=False)
    write_description(path, description)
    with open(os.path.join(path, EXTRA, "labels.txt"), "w", encoding="utf-8") as file:
        file.write(labels_text(description.labels))


def write_single(network: Callable, image_shape: tuple[int, int, int], path: str) -> None:
    """Writes only the network, for converters: images (N, *image_shape) float32 -> logits, scores."""

    def predict_images(images):
        logits = network(images)["logits"]
        return {"logits": logits, "scores": tf.nn.softmax(logits)}

    specs = [tf.TensorSpec([None, *image_shape], tf.float32, name="images")]
    archive = keras.export.ExportArchive()
    archive.add_endpoint("predict_images", predict_images, input_signature=specs)
    archive.write_out(path, verbose=False)


def labels_text(labels: tuple[str, ...]) -> str:
    """Returns one label per line; a line break inside a label becomes a space."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in labels)
