"""Provides the multi-label task: a classifier with a sigmoid for each class, and binary cross entropy."""

from dataclasses import replace
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.classification.class_weights import balanced_weights, class_weights
from keras_resnet.classification.task import Classification
from keras_resnet.config.multilabel import MultilabelConfig
from keras_resnet.data.several_labels import with_several_labels
from keras_resnet.data.sources import load_image_set
from keras_resnet.description import Description
from keras_resnet.errors import ConfigError
from keras_resnet.multilabel.collector import Collector
from keras_resnet.multilabel.metrics import METRICS

THRESHOLD = 0.5  # of a network that was not evaluated yet


class Multilabel(Classification):
    """The `Task` of multi-label classification, of images with any number of labels.

    Args:
        config: the run's configuration.
        description: description of the network; default a new one from the configuration and its data set.

    Raises:
        ConfigError, DataError: as `Classification`.
    """

    config: MultilabelConfig
    table = METRICS

    def _load(self, data):
        return with_several_labels(load_image_set(data, None))

    @property
    def description(self) -> Description:
        """Returns the network, its preprocessing, its class names and a threshold for each class."""
        description = super().description
        return replace(description, thresholds=description.thresholds or (THRESHOLD,) * len(description.labels))

    def _target(self, label):
        return label

    @cached_property
    def class_weights(self) -> np.ndarray | None:
        """Returns the factors (2, classes) on the loss of negatives and of positives; None if all are 1.

        Balanced ones are those of `train.class_weights` for the two values of each label: n / 2 (n - n_k), n / 2 n_k.
        Weights of named classes are those of their positives.

        Raises:
            ConfigError: a name is no class, or the training labels are not known without reading the images.
        """
        setting, known = self.config.train.class_weights, self.images.split("train").probabilities
        if setting != "balanced":
            positive = class_weights(setting, self.labels, None)
            return None if positive is None else np.stack([np.ones_like(positive), positive])
        if known is None:
            raise ConfigError(
                "train.class_weights: balanced needs labels that are known without reading the images, as of csv:PATH; "
                "name the weights, as {class: weight}"
            )
        return np.stack([balanced_weights(column, 2) for column in (known >= 0.5).astype(int).T], axis=1)

    def overview(self, model):
        """Returns what that of `Classification` does, and the number of labels of an image."""
        known = self.images.split("train").probabilities
        labels = {} if known is None else {"labels": f"{float(known.sum()) / len(known):.2f} of a training image"}
        return super().overview(model) | labels

    def loss(self, model, batch):
        """model, batch -> (binary cross entropy of each image (N,), averaged over the classes, sums to report)."""
        (images, targets), weights = batch
        losses = self._losses(model(images, training=True), targets, self.config.train.label_smoothing, True)
        return losses * weights, _sums(losses, weights)

    def _losses(self, logits, targets, smoothing, weighted):
        targets = tf.cast(targets, logits.dtype)
        smooth = targets * (1 - smoothing) + smoothing / 2
        losses = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
        if weighted and self.class_weights is not None:
            negative, positive = tf.unstack(tf.cast(self.class_weights, losses.dtype))
            losses *= negative + targets * (positive - negative)
        return tf.reduce_mean(losses, -1)

    def evaluate(self, model, batch):
        """model, batch -> sums over the images whose weight is 1, and scores and targets (N, classes) of all."""
        (images, targets), weights = batch
        logits = model(images, training=False)
        outputs = {"scores": keras.ops.sigmoid(logits), "targets": targets, "weights": weights}
        outputs = {name: tf.cast(value, tf.float32) for name, value in outputs.items()}
        return _sums(self._losses(logits, targets, 0.0, False), weights) | outputs

    def collector(self, split):
        """Returns a collector, which chooses thresholds on the validation split and takes the model's on others."""
        return Collector(None if split == "validation" else self.description.thresholds)

    def summarize(self, sums):
        """Returns the loss; the collector has the other metrics."""
        return {"loss": sums["loss"] / sums["images"]} if sums["images"] else {}


def _sums(losses, weights):
    weights = tf.cast(weights, losses.dtype)
    return {"loss": tf.reduce_sum(losses * weights), "images": tf.reduce_sum(weights)}
