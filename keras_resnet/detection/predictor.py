"""Provides a predictor for a detector in memory."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_resnet.description import Preprocessing
from keras_resnet.detection.detector import Detector
from keras_resnet.detection.transforms import letterbox
from keras_resnet.errors import DataError
from keras_resnet.inference.answers import Answer, ImageError, Prediction
from keras_resnet.inference.images import decoded


class DetectionPredictor:
    """A `Predictor` whose predictions have boxes, in pixels of the image that it is given."""

    kind = "keras"
    finds_boxes = True

    def __init__(self, model: Detector, labels: tuple[str, ...], preprocessing: Preprocessing, source: str):
        self.model, self.labels, self.preprocessing, self.source = model, labels, preprocessing, source
        self.image_shape = preprocessing.image_shape
        self.max_top_k = model.options.detections
        self._graph = tf.function(model.detect, autograph=False, reduce_retracing=True)

    def answer(self, contents: Sequence[bytes], top_k: int) -> list[Answer]:
        """The bytes of N images of any size -> N answers with at most `top_k` objects each."""
        answers: list[Answer | None] = []
        images, geometry = [], []
        for content in contents:
            try:
                pixels = decoded(content, self.image_shape[2])
            except DataError as error:
                answers.append(ImageError(str(error)))
            else:
                image, ratio, _ = letterbox(pixels, self.image_shape[0], self.preprocessing.mean)
                answers.append(None)
                images.append(image)
                geometry.append((float(ratio), pixels.shape[:2]))
        found = iter(self._found(images, geometry, top_k) if images else [])
        return [answer or next(found) for answer in answers]

    def _found(self, images, geometry, top_k):
        boxes, scores, classes, counts = (each.numpy() for each in self._graph(tf.stack(images)))
        for row, (ratio, size) in enumerate(geometry):
            count = min(int(counts[row]), top_k)
            inside = np.clip(boxes[row, :count] / ratio, 0, [*size, *size])
            numbers = classes[row, :count].tolist()
            yield Prediction(
                tuple(numbers),
                tuple(self.labels[number] for number in numbers),
                tuple(scores[row, :count].tolist()),
                tuple(tuple(box) for box in inside.tolist()),
            )
