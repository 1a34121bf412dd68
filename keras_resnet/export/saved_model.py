"""Signatures -> a SavedModel, with the description beside the graph."""

import os
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_resnet.description import Description
from keras_resnet.model import write_description

EXTRA = "assets.extra"  # where TF Serving and others look for what is no part of the graph


def write_saved_model(signatures: dict[str, tuple[Callable, list]], path: str, description: Description) -> None:
    """Writes {name: (function, input specs)}, the default one first.

    Args:
        signatures: what the model answers.
        path: the folder to make.
        description: kept beside the graph, its labels also as labels.txt.
    """
    # The archive finds the variables that functions read; a model that is tracked too has all its weights stored twice.
    archive = keras.export.ExportArchive()
    for name, (function, specs) in signatures.items():
        archive.add_endpoint(name, function, input_signature=specs)
    archive.write_out(path, verbose=False)
    write_description(path, description)
    with open(os.path.join(path, EXTRA, "labels.txt"), "w", encoding="utf-8") as file:
        file.write(labels_text(description.labels))


def write_single(network: Callable, image_shape: tuple[int, int, int], path: str) -> None:
    """Writes the network alone, as converters take it: images (N, *image_shape) float32 -> logits, scores."""

    def predict_images(images):
        logits = network(images)["logits"]
        return {"logits": logits, "scores": tf.nn.softmax(logits)}

    specs = [tf.TensorSpec([None, *image_shape], tf.float32, name="images")]
    archive = keras.export.ExportArchive()
    archive.add_endpoint("predict_images", predict_images, input_signature=specs)
    archive.write_out(path, verbose=False)


def labels_text(labels: tuple[str, ...]) -> str:
    """A label a line; a line break in one becomes a space."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in labels)
