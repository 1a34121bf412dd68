"""Loads a SavedModel and answers its warm-up requests, in the verifying process."""

import os
from collections import Counter

import tensorflow as tf


def load(path):
    """Returns (images -> outputs, {operator: count})."""
    loaded = tf.saved_model.load(path)
    graph = loaded.signatures["predict_images"].graph.as_graph_def()
    nodes = [node for function in graph.library.function for node in function.node_def] + list(graph.node)

    def run(images):  # keeps `loaded`, to which the variables belong
        outputs = loaded.signatures["predict_images"](images=tf.constant(images))
        return {name: value.numpy() for name, value in outputs.items()}

    return run, Counter(node.op for node in nodes if node.op not in ("NoOp", "Identity", "Placeholder"))


def replay(path):
    """Answers every warm-up request as TensorFlow Serving would, and returns how many there are.

    Raises:
        ValueError: an output does not have a row for each image, or an image is unreadable.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    loaded = tf.saved_model.load(path)
    records = list(tf.data.TFRecordDataset(os.path.join(path, "assets.extra", "tf_serving_warmup_requests")))
    for record in records:
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        name = request.model_spec.signature_name
        outputs = loaded.signatures[name](**inputs)
        rows = next(iter(inputs.values())).shape[0]
        wrong = [key for key, value in outputs.items() if value.shape[0] != rows]
        if wrong or any(status != b"OK" for status in outputs.get("status", tf.constant([], tf.string)).numpy()):
            raise ValueError(f"warm-up request of {name}, {rows} images: {wrong or outputs['status'].numpy()}")
    return len(records)
