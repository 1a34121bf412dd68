"""Converts a network to .tflite files of several precisions, with builtin operators only."""

import json
import zipfile

import numpy as np
import tensorflow as tf

from keras_resnet.description import Description
from keras_resnet.export.quiet import quiet
from keras_resnet.export.saved_model import labels_text


def write_litert(
    single: str, path: str, description: Description, precision: str = "float32", calibration: np.ndarray | None = None
) -> None:
    """Converts a SavedModel of `write_single` and packs labels.txt and description.json into the file.

    A `.tflite` file may end with a zip archive (the convention of LiteRT's metadata): any zip tool reads
    it, and interpreters ignore it. Images and logits are float32 in every precision.

    Args:
        single: the SavedModel, with the signature predict_images.
        path: path of the file to write.
        description: model description, with preprocessing and class names.
        precision: "float32"; "float16" weights; "dynamic": int8 weights, float32 sums; "int8" for everything.
        calibration: images (N, H, W, C) float32 from which "int8" chooses its ranges.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(single, signature_keys=["predict_images"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        assert calibration is not None
        converter.representative_dataset = lambda: (
            ("predict_images", {"images": image[None]}) for image in calibration
        )
    with quiet():
        content = converter.convert()
    with open(path, "wb") as file:
        file.write(content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", labels_text(description.labels))
        archive.writestr("description.json", json.dumps(description.to_json()))
