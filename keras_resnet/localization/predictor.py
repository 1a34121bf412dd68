"""Provides a predictor for a localizer in memory."""

import tensorflow as tf

from keras_resnet.description import Preprocessing
from keras_resnet.inference.images import answer_prepared
from keras_resnet.localization.localizer import Localizer
from keras_resnet.localization.signatures import pairs


class LocalizationPredictor:
    """A `Predictor` whose predictions are the best classes, each with a box in pixels of the image that it is given."""

    kind = "keras"
    finds_boxes = True

    def __init__(self, model: Localizer, labels: tuple[str, ...], preprocessing: Preprocessing, source: str):
        self.model, self.labels, self.preprocessing, self.source = model, labels, preprocessing, source
        self.image_shape: tuple[int, ...] = preprocessing.image_shape
        self.max_top_k = model.top_k
        self._graph = tf.function(lambda images: pairs(model.locate(images)), autograph=False, reduce_retracing=True)

    def detections(self, images):
        """See `Predictor`."""
        return {name: value.numpy() for name, value in self._graph(tf.constant(images)).items()}

    def answer(self, contents, top_k):
        """See `Predictor`."""
        return answer_prepared(self, contents, top_k)
