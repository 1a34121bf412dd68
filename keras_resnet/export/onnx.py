"""Converts a network to an ONNX file. Requires the extra: pip install "keras-residual-networks[onnx]"."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from keras_resnet.console import quiet
from keras_resnet.description import Description
from keras_resnet.export.conversion import Conversion

OPSET = 17  # onnxruntime 1.12 and later, OpenVINO 2022.3 and later


def write_artifacts(conversion: Conversion) -> Iterator[dict]:
    """Writes a file for each precision; int8 is made from float32."""
    precisions, path = conversion.plan.precisions["onnx"], conversion.path("onnx", "float32")
    conversion.tell("writing ONNX, float32")
    write_onnx(conversion.frozen, conversion.spec, path, conversion.description)
    if "int8" in precisions:
        conversion.tell("writing ONNX, int8")
        write_int8_onnx(path, conversion.path("onnx", "int8"), conversion.calibration)
    if "float32" not in precisions:
        os.remove(path)
    for precision in precisions:
        yield {"format": "onnx", "precision": precision, "path": conversion.path("onnx", precision)}


def write_int8_onnx(exact: str, path: str, calibration: np.ndarray) -> None:
    """Quantizes a file of `write_onnx` to 8-bit weights and activations, as QuantizeLinear and DequantizeLinear.

    onnxruntime, OpenVINO and TensorRT fuse these into integer kernels. Kernels are quantized per channel; images,
    logits and scores stay float32.

    Args:
        exact: the float32 file.
        path: path of the file to write.
        calibration: images (N, H, W, C) float32 from which the ranges are chosen.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(quantization.CalibrationDataReader):
        def __init__(self):
            self._left = iter(calibration)

        def get_next(self):
            image = next(self._left, None)
            return None if image is None else {"images": image[None]}

    with quiet(), tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        prepared = os.path.join(folder, "prepared.onnx")
        quant_pre_process(exact, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            path,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(path)
        known = {each.key: each.value for each in onnx.load(exact, load_external_data=False).metadata_props}
        onnx.helper.set_model_props(model, known)
        onnx.checker.check_model(model, full_check=True)
        onnx.save_model(model, path)


def write_onnx(function: Callable, spec: tf.TensorSpec, path: str, description: Description) -> None:
    """Writes a function of images -> {name: tensor}, with labels and description as JSON in the metadata.

    Raises:
        onnx.checker.ValidationError: the result is not valid ONNX.
    """
    with quiet():
        import onnx
        import tf2onnx

        def predict_images(images):
            return {name: tf.identity(value, name=name) for name, value in function(images).items()}

        named = tf.function(predict_images, input_signature=[spec], autograph=False)
        model, _ = tf2onnx.convert.from_function(named, input_signature=[spec], opset=OPSET)
        if spec.shape[0] is None:
            for value in (*model.graph.input, *model.graph.output):
                value.type.tensor_type.shape.dim[0].dim_param = "N"
        described = {"labels": description.labels, "description": description.to_json()}
        onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in described.items()})
        onnx.checker.check_model(model, full_check=True)
        onnx.save_model(model, path)
