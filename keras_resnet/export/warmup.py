"""Writes requests that TensorFlow Serving replays before it serves a version: the first client does not wait."""

import os

import numpy as np
import tensorflow as tf

from keras_resnet.export.saved_model import EXTRA

FILE = os.path.join(EXTRA, "tf_serving_warmup_requests")
MAX_RECORDS = 1000  # TF Serving refuses more
_FOR_TOOLS = {"network"}  # converters read it; a server that runs it holds its weights a second time


def write_warmup(saved_model: str, batch_sizes: tuple[int, ...], image_shape: tuple[int, int, int]) -> int:
    """Writes a request per client signature and batch size into the SavedModel; returns their number.

    The images are gray: the computation does not depend on them, and a constant tensor takes a few bytes.

    Args:
        saved_model: the folder.
        batch_sizes: the batch sizes of servers.
        image_shape: (H, W, C) of the network's input.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    names = sorted(tf.saved_model.load(saved_model).signatures.keys() - _FOR_TOOLS)
    height, width, channels = image_shape
    encoded = tf.io.encode_jpeg(np.full((height, width, channels), 128, np.uint8)).numpy()
    inputs = {
        "serving_default": ("image_bytes", encoded, tf.string, ()),
        "predict_images_uint8": ("images", 128, tf.uint8, image_shape),
    }
    path = os.path.join(saved_model, FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for name in names:
            for size in batch_sizes:
                key, value, dtype, shape = inputs.get(name, ("images", 128.0, tf.float32, image_shape))
                request = predict_pb2.PredictRequest()
                request.model_spec.signature_name = name
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value, dtype, (size, *shape)))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())
    return len(names) * len(batch_sizes)
