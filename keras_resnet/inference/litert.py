"""Provides a predictor for a .tflite file, run by LiteRT."""

import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_resnet.errors import ConfigError
from keras_resnet.inference.artifacts import labels_of, lines, read_preprocessing, read_thresholds
from keras_resnet.inference.images import answer_prepared

SIGNATURE = "predict_images"
_LEAST = 1e-9  # lower bound of a score before its logarithm


class LiteRTPredictor:
    """A `Predictor` that calls the signature predict_images, of any precision.

    Raises:
        ConfigError: the file has no such signature.
    """

    kind = "litert"

    def __init__(self, path: str, source: str, threads: int | None = None):
        self.source = source
        try:
            self._interpreter = Interpreter(path, num_threads=threads)
            self._run = self._interpreter.get_signature_runner(SIGNATURE)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{path}: not a .tflite file of keras-resnet export: {str(error).splitlines()[0]}"
            ) from None
        self._input = self._run.get_input_details()["images"]
        answers = self._run.get_output_details()
        self.finds_boxes = "boxes" in answers
        self._name = "logits" if "logits" in answers else "scores"  # files of batch 1 return only scores
        self._output = answers[self._name]
        self._one_by_one = int(self._input.get("shape_signature", self._input["shape"])[0]) == 1
        self.image_shape = tuple(int(size) for size in self._input["shape"][1:])
        classes = None if self.finds_boxes else int(self._output["shape"][-1])
        packed = _packed(path, "labels.txt")
        self.labels = labels_of(lines(packed) if packed else None, path, classes)
        about = _packed(path, "description.json")
        self.preprocessing, _ = read_preprocessing(path, self.image_shape[:2], about)
        self.thresholds = read_thresholds(path, about)
        self.max_top_k = int(self._output["shape"][-1]) if self.finds_boxes else len(self.labels)

    def logits(self, images):
        """See `Predictor`."""
        values = _dequantized(self._outputs(images)[self._name], self._output)
        if self._name == "logits":
            return values
        logs = np.log(np.maximum(values, _LEAST))
        return logs - np.log(np.maximum(1 - values, _LEAST)) if self.thresholds else logs

    def detections(self, images):
        """See `Predictor`."""
        return self._outputs(images)

    def _outputs(self, images):
        batches = np.split(images, len(images)) if self._one_by_one else [images]
        found = [self._run(images=_quantized(batch, self._input)) for batch in batches]
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def answer(self, contents, top_k):
        """See `Predictor`."""
        return answer_prepared(self, contents, top_k)


def _packed(path, name):
    """Returns a text in the zip archive at the end of the file, None if it is missing."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name).decode()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return None


def _quantized(images, details):
    scale, zero = details["quantization"]
    if not np.issubdtype(details["dtype"], np.integer):
        return images.astype(details["dtype"], copy=False)
    limits = np.iinfo(details["dtype"])
    values = np.round(images / scale) + zero if scale else images
    return np.clip(values, limits.min, limits.max).astype(details["dtype"])


def _dequantized(values, details):
    scale, zero = details["quantization"]
    if not np.issubdtype(details["dtype"], np.integer) or not scale:
        return values.astype(np.float32, copy=False)
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)
