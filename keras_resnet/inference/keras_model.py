"""Provides a predictor for a Keras model in memory: of a run, or with other weights."""

import keras
import tensorflow as tf

from keras_resnet.description import Preprocessing
from keras_resnet.inference.images import answer_prepared


class KerasPredictor:
    """A `Predictor` for a model images (N, H, W, C) in [0, 255] -> logits (N, classes)."""

    kind = "keras"
    finds_boxes = False

    def __init__(self, model: keras.Model, labels: tuple[str, ...], preprocessing: Preprocessing, source: str):
        self.model = model
        self.labels = labels
        self.preprocessing = preprocessing
        self.source = source
        self.image_shape = tuple(model.input_shape[1:])
        self.max_top_k = len(labels)
        description = getattr(model, "description", None)
        self.thresholds = description.thresholds if description else ()
        self._graph = tf.function(lambda images: tf.cast(model(images, training=False), tf.float32), autograph=False)

    def logits(self, images):
        """See `Predictor`."""
        return self._graph(tf.constant(images, tf.float32)).numpy()

    def answer(self, contents, top_k):
        """See `Predictor`."""
        return answer_prepared(self, contents, top_k)
