"""Writes signatures as a SavedModel, with the model description and warm-up requests next to the graph."""

import os
from collections.abc import Callable, Iterator
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.description import Description
from keras_resnet.export.conversion import Conversion
from keras_resnet.export.formats import SAVED_MODEL
from keras_resnet.export.graph import fold
from keras_resnet.model import write_description
from keras_resnet.processor import emulates_bfloat16

EXTRA = "assets.extra"  # where TF Serving and others read files that are not part of the graph

FILE = os.path.join(EXTRA, "tf_serving_warmup_requests")
MAX_RECORDS = 1000  # TF Serving refuses more
_FOR_TOOLS = {"network"}  # converters read it; a server that runs it holds its weights a second time


def write_artifacts(conversion: Conversion) -> Iterator[dict]:
    """Writes the SavedModel with its warm-up requests."""
    plan, description = conversion.plan, conversion.description
    (precision,) = plan.precisions[SAVED_MODEL]
    if precision == "bfloat16" and emulates_bfloat16():
        conversion.tell("note: this processor emulates bfloat16, where float32 is faster")
    as_it_is = plan.optimize == "none"
    conversion.tell(f"writing SavedModel, {precision}, {'as it is' if as_it_is else 'folded'}")
    change = (lambda model: model) if as_it_is else partial(fold, precision=precision)
    network = conversion.network(change)
    path = os.path.join(conversion.staging, SAVED_MODEL)
    write_saved_model(conversion.what.signatures(network, plan.stages), path, description)
    write_warmup(path, plan.batch_sizes, description.preprocessing.image_shape)
    yield {"format": SAVED_MODEL, "precision": precision, "path": path}


def write_saved_model(signatures: dict[str, tuple[Callable, list]], path: str, description: Description) -> None:
    """Writes signatures {name: (function, input specs)}, the default one first.

    Args:
        signatures: the signatures of the model.
        path: the folder to create.
        description: written next to the graph, its labels also as labels.txt.
    """
    # The archive finds the variables that functions read; tracking the model too would store all weights twice.
    archive = keras.export.ExportArchive()
    for name, (function, specs) in signatures.items():
        archive.add_endpoint(name, function, input_signature=specs)
    archive.write_out(path, verbose=False)
    write_description(path, description)
    with open(os.path.join(path, EXTRA, "labels.txt"), "w", encoding="utf-8") as file:
        file.write(labels_text(description.labels))


def write_single(function: Callable, spec: tf.TensorSpec, path: str) -> None:
    """Writes only one function of images, for converters, as the signature predict_images."""
    archive = keras.export.ExportArchive()
    archive.add_endpoint("predict_images", function, input_signature=[spec])
    archive.write_out(path, verbose=False)


def labels_text(labels: tuple[str, ...]) -> str:
    """Returns one label per line; a line break inside a label becomes a space."""
    return "".join(" ".join(label.splitlines()) + "\n" for label in labels)


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
    inputs: dict = {}
    if channels <= 3:
        encoded = tf.io.encode_jpeg(np.full((height, width, channels), 128, np.uint8)).numpy()
        inputs["serving_default"] = ("image_bytes", encoded, tf.string, ())
        inputs["predict_images_uint8"] = ("images", 128, tf.uint8, image_shape)
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
