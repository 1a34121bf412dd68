"""Provides a predictor for a detector in memory."""

import tensorflow as tf

from keras_resnet.description import Preprocessing
from keras_resnet.detection.detector import Detector
from keras_resnet.inference.images import answer_prepared


class DetectionPredictor:
    """A `Predictor` whose predictions have boxes, in pixels of the image that it is given."""

    kind = "keras"
    finds_boxes = True

    def __init__(self, model: Detector, labels: tuple[str, ...], preprocessing: Preprocessing, source: str):
        self.model, self.labels, self.preprocessing, self.source = model, labels, preprocessing, source
        self.image_shape: tuple[int, ...] = preprocessing.image_shape
        self.max_top_k = model.options.detections
        self._graph = tf.function(model.detect, autograph=False, reduce_retracing=True)

    def detections(self, images):
        """See `Predictor`."""
        found = {name: value.numpy() for name, value in self._graph(tf.constant(images)).named().items()}
        return {"num_detections": found.pop("counts"), **found}

    def answer(self, contents, top_k):
        """See `Predictor`."""
        return answer_prepared(self, contents, top_k)
