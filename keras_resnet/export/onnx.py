"""The network -> an ONNX file. Needs the extra: pip install "keras-residual-networks[onnx]"."""

import importlib.util
import json
from collections.abc import Callable

import tensorflow as tf

from keras_resnet.description import Description
from keras_resnet.errors import ConfigError
from keras_resnet.export.quiet import quiet

OPSET = 17  # onnxruntime 1.12 and later, OpenVINO 2022.3 and later
_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")


def check_onnx() -> None:
    """Raises a `ConfigError` where the extra is not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"--formats=onnx: {', '.join(missing)} not installed; pip install {' '.join(_PACKAGES)}")


def write_onnx(network: Callable, path: str, description: Description) -> None:
    """Writes images (N, H, W, C) float32 -> logits, scores; labels and description are JSON in the file's metadata.

    Raises:
        onnx.checker.ValidationError: what came out is not valid ONNX.
    """
    with quiet():
        import onnx
        import tf2onnx

        def predict_images(images):
            logits = network(images)["logits"]
            return {"logits": tf.identity(logits, name="logits"), "scores": tf.nn.softmax(logits, name="scores")}

        specs = [tf.TensorSpec([None, *description.preparation.image_shape], tf.float32, name="images")]
        function = tf.function(predict_images, input_signature=specs, autograph=False)
        model, _ = tf2onnx.convert.from_function(function, input_signature=specs, opset=OPSET)
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
        described = {"labels": description.labels, "description": description.to_json()}
        onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in described.items()})
        onnx.checker.check_model(model, full_check=True)
        onnx.save_model(model, path)
