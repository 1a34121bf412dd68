"""Provides a predictor for an .onnx file, run by onnxruntime, which the extra `onnx` installs."""

import json

import numpy as np

from keras_resnet.errors import ConfigError, needs
from keras_resnet.inference.artifacts import labels_of, read_preprocessing, read_thresholds
from keras_resnet.inference.images import answer_prepared


class OnnxPredictor:
    """A `Predictor` for a graph images -> logits, or -> boxes, scores, classes and num_detections.

    Raises:
        ConfigError: the file is not such a graph, or onnxruntime is not installed.
    """

    kind = "onnx"

    def __init__(self, path: str, source: str, threads: int | None = None):
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(f"{path}: {needs('onnxruntime', 'onnx')}") from None
        self.source = source
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes, which it does not export
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise ConfigError(f"{path}: not an ONNX model: {str(error).splitlines()[0]}") from None
        self._input = self._session.get_inputs()[0].name
        shape = self._session.get_inputs()[0].shape  # a size that is not fixed is a name or None
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        self.finds_boxes = "boxes" in outputs
        if (
            not ({"logits", "boxes"} & outputs.keys())
            or len(shape) != 4
            or not all(isinstance(size, int) for size in shape[1:])
        ):
            raise ConfigError(
                f"{path}: not an .onnx file of keras-resnet export: takes {shape} and gives {', '.join(outputs)}; "
                "expected images (N, H, W, C) of a fixed size and logits or boxes"
            )
        self.image_shape = tuple(shape[1:])
        packed = self._session.get_modelmeta().custom_metadata_map  # JSON
        labels = json.loads(packed["labels"]) if "labels" in packed else None
        self.labels = labels_of(labels, path, None if self.finds_boxes else outputs["logits"][-1])
        self.preprocessing, _ = read_preprocessing(path, self.image_shape[:2], packed.get("description"))
        self.thresholds = read_thresholds(path, packed.get("description"))
        self.max_top_k = outputs["scores"][-1] if self.finds_boxes else len(self.labels)

    def detections(self, images):
        """See `Predictor`."""
        names = [output.name for output in self._session.get_outputs()]
        found = [self._session.run(names, {self._input: image[None].astype(np.float32)}) for image in images]
        return {name: np.concatenate(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)}

    def logits(self, images):
        """See `Predictor`."""
        return self._session.run(["logits"], {self._input: images.astype(np.float32, copy=False)})[0]

    def answer(self, contents, top_k):
        """See `Predictor`."""
        return answer_prepared(self, contents, top_k)
