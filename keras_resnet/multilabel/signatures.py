"""Provides the signatures of an exported multi-label classifier as TensorFlow functions."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.classification.signatures import ClassifierExport, classification_signatures
from keras_resnet.config import Export
from keras_resnet.data import transforms
from keras_resnet.data.requests import decode_request
from keras_resnet.description import Description

MOST_LABELS = 100  # of an answer, without export.top_k


def multilabel_signatures(
    network: Callable, description: Description, settings: Export, stages: bool = False
) -> dict[str, tuple[Callable, list]]:
    """Returns the functions of `classification_signatures`, whose scores are sigmoids of the logits here.

    Args:
        network, settings, stages: as for `classification_signatures`.
        description: description with preprocessing, class names and thresholds.

    Returns:
        serving_default: image_bytes (N,), JPEG, PNG, GIF or BMP of any size -> classes (N, k) int32, labels (N, k)
            string, scores (N, k) float32 of the classes whose score is their threshold or more, best first,
            num_labels (N,) int32, the number of these classes, and status (N,) string. From num_labels on, and in a row
            whose status is not "OK", classes are -1, labels "" and scores 0. k is `settings.top_k`, by default the
            number of classes, 100 at most.
        The others as in `classification_signatures`, without thresholds.
    """
    preprocessing, names = description.preprocessing, tf.constant(description.labels)
    thresholds = tf.constant(description.thresholds, tf.float32)
    spec = tf.TensorSpec(preprocessing.image_shape)
    k = settings.top_k or min(MOST_LABELS, len(description.labels))

    def prepare(pixels):
        return transforms.prepare(pixels, preprocessing)

    def serving_default(image_bytes):
        images, readable, status = decode_request(
            image_bytes, prepare, spec, spec.shape[2], settings, preprocessing.exif_orientation
        )
        scores = tf.nn.sigmoid(network(images)["logits"])
        scores, classes = tf.math.top_k(tf.where(scores >= thresholds, scores, -1.0), k=k)
        found = (scores >= 0) & readable[:, None]
        return {
            "classes": tf.where(found, classes, -1),
            "labels": tf.where(found, tf.gather(names, classes), ""),
            "scores": tf.where(found, scores, 0.0),
            "num_labels": tf.reduce_sum(tf.cast(found, tf.int32), -1),
            "status": status,
        }

    functions = classification_signatures(network, description, settings, stages, tf.nn.sigmoid)
    if preprocessing.image_shape[2] > 3:  # no file of a request has them; serving_default is predict_images
        return functions
    return functions | {"serving_default": (serving_default, functions["serving_default"][1])}


class MultilabelExport(ClassifierExport):
    """A multi-label classifier in the form that `export_model` takes, see `ClassifierExport`."""

    def signatures(self, network: Callable, stages: bool = False):
        """Returns the exported functions, see `multilabel_signatures`."""
        return multilabel_signatures(network, self.description, self.settings, stages)
