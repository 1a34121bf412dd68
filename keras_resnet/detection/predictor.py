"""Provides a predictor for a detector in memory."""

from collections.abc import Sequence
from dataclasses import replace

import tensorflow as tf

from keras_resnet.description import Preprocessing
from keras_resnet.detection.detector import Detector
from keras_resnet.detection.improvements import ImprovedDetector
from keras_resnet.inference.images import answer_prepared


class DetectionPredictor:
    """A `Predictor` whose predictions have boxes, in pixels of the image that it is given."""

    kind = "keras"
    finds_boxes = True

    def __init__(
        self,
        model: Detector | ImprovedDetector,
        labels: tuple[str, ...],
        preprocessing: Preprocessing,
        source: str,
    ):
        self.model, self.labels, self.preprocessing, self.source = model, labels, preprocessing, source
        self.image_shape: tuple[int, ...] = preprocessing.image_shape
        self.max_top_k = model.options.detections
        self._graph = tf.function(model.detect, autograph=False, reduce_retracing=True)

    def improved(self, refine: bool, scales: Sequence[int]) -> "DetectionPredictor":
        """Returns a predictor with improvements in testing, see `ImprovedDetector`."""
        assert isinstance(self.model, Detector)
        model = ImprovedDetector([self.model], refine, scales)
        preprocessing = replace(self.preprocessing, image_size=model.image_size[0])
        return DetectionPredictor(model, self.labels, preprocessing, self.source)

    def detections(self, images):
        """See `Predictor`."""
        found = {name: value.numpy() for name, value in self._graph(tf.constant(images)).named().items()}
        return {"num_detections": found.pop("counts"), **found}

    def answer(self, contents, top_k):
        """See `Predictor`."""
        return answer_prepared(self, contents, top_k)
