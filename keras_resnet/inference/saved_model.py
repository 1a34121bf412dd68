"""Provides a predictor for a SavedModel of keras-resnet export, called as TF Serving calls it."""

import os

import tensorflow as tf

from keras_resnet.description import height_and_width
from keras_resnet.errors import ConfigError
from keras_resnet.inference.answers import Answer, ImageError, Prediction
from keras_resnet.inference.artifacts import numbered, read_labels, read_preprocessing, read_thresholds
from keras_resnet.inference.images import COLORS, answer_prepared, image_size_of
from keras_resnet.inference.postprocessing import objects_of

_OF_OBJECTS = ("boxes", "classes", "scores", "masks")


class SavedModelPredictor:
    """A `Predictor` whose `answer` calls the signature serving_default, which includes all preprocessing.

    It has no use for `threads`: TensorFlow's threads belong to the process.

    Raises:
        ConfigError: the folder is not a SavedModel with these signatures.
    """

    kind = "saved_model"

    def __init__(self, folder: str, source: str, threads: int | None = None):
        self.source = source
        try:
            self._loaded = tf.saved_model.load(folder)  # keeps the signatures alive
            self._answer = self._loaded.signatures["serving_default"]
            self._network = self._loaded.signatures["predict_images"]
            self._decodes = set(self._answer.structured_input_signature[1]) == {"image_bytes"}
            if not self._decodes and self._network.structured_input_signature[1]["images"].shape[3] <= COLORS:
                raise ValueError("its serving_default does not take image_bytes")
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise ConfigError(
                f"{folder}: not a SavedModel of keras-resnet export: {str(error).splitlines()[0]}"
            ) from None
        answered, labels = self._answer.structured_outputs, os.path.join(folder, "assets.extra", "labels.txt")
        self.finds_boxes = "boxes" in answered
        classes = None if self.finds_boxes else self._network.structured_outputs["logits"].shape[-1]
        self.labels = read_labels(labels, classes) or numbered(classes or 0)
        self.preprocessing, size = read_preprocessing(folder)
        self.thresholds = read_thresholds(folder)
        shape = self._network.structured_input_signature[1]["images"].shape[1:]
        self._any_size = shape[0] is None
        self.image_shape = (*height_and_width(size), shape[2]) if self._any_size and size else tuple(shape)
        self.max_top_k = answered["scores"].shape[-1] or len(self.labels)
        self._has_status = "status" in answered

    def logits(self, images):
        """See `Predictor`."""
        return self._network(images=tf.constant(images, tf.float32))["logits"].numpy()

    def detections(self, images):
        """See `Predictor`."""
        outputs = self._network(images=tf.constant(images, tf.float32))
        return {name: value.numpy() for name, value in outputs.items()}

    def answer(self, contents, top_k):
        """See `Predictor`."""
        if not self._decodes:  # images of more than three channels
            return answer_prepared(self, contents, top_k)
        if self._has_status:
            return self._answers(contents, top_k)
        answers: list[Answer] = []
        for content in contents:  # without a status per row, one bad image would fail them all
            try:
                answers += self._answers([content], top_k)
            except tf.errors.InvalidArgumentError:
                answers.append(ImageError("not an image that can be decoded; expected a gray or RGB JPEG or PNG"))
        return answers

    def _answers(self, contents, top_k):
        outputs = {name: value.numpy() for name, value in self._answer(image_bytes=tf.constant(contents)).items()}
        answers: list[Answer] = []
        for i in range(len(contents)):
            status = outputs["status"][i].decode() if self._has_status else "OK"
            if status != "OK":
                answers.append(ImageError(status))
                continue
            if self.finds_boxes:
                count = int(outputs["num_detections"][i])
                found = {name: value[i, :count] for name, value in outputs.items() if name in _OF_OBJECTS}
                size = image_size_of(contents[i]) if "masks" in found else (0, 0)
                letterboxed = self.preprocessing.resize == "letterbox"
                answers.append(objects_of(found, self.labels, top_k, size, letterboxed))
                continue
            count = min(int(outputs["num_labels"][i]), top_k) if "num_labels" in outputs else top_k
            labels = tuple(label.decode() for label in outputs["labels"][i, :count])
            classes, scores = (tuple(outputs[name][i, :count].tolist()) for name in ("classes", "scores"))
            answers.append(Prediction(classes, labels, scores))
        return answers
