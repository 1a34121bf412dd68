"""Provides the signatures of an exported classifier as TensorFlow functions."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.data import transforms, untrusted
from keras_resnet.description import Description, Preprocessing


def prepare_batch(images, preprocessing: Preprocessing):
    """images (N, H, W, C) -> (N, *image_shape) float32; images that already have this shape are only cast."""
    size, _, channels = preprocessing.image_shape
    height, width = tf.shape(images)[1], tf.shape(images)[2]

    def resized():
        longer, shorter = tf.maximum(height, width), tf.minimum(height, width)
        message = f"images: expected sides above 0, one at most {untrusted.MAX_ASPECT} times the other"
        fits = tf.debugging.Assert((shorter > 0) & (longer <= untrusted.MAX_ASPECT * shorter), [message])
        with tf.control_dependencies([fits]):
            stacked = tf.transpose(tf.cast(images, tf.float32), (1, 2, 0, 3))  # all have the same size
        prepared = transforms.prepare(tf.reshape(stacked, (height, width, -1)), preprocessing)
        return tf.transpose(tf.reshape(prepared, (size, size, -1, channels)), (2, 0, 1, 3))

    fits = (height == size) & (width == size)
    prepared = tf.cond(fits, lambda: tf.cast(images, tf.float32), resized)
    return tf.ensure_shape(prepared, (None, *preprocessing.image_shape))


def classification_signatures(
    network: Callable, description: Description, settings: Export, stages: bool = False
) -> dict[str, tuple[Callable, list]]:
    """Returns functions and input specs by name, with the default signature first.

    Args:
        network: preprocessed images (N, H, W, C) float32 in [0, 255] -> {"logits": (N, classes), "features": (N, F),
            "stage1": (N, h, w, c), ...}, float32.
        description: description with preprocessing and class names.
        settings: the group `export` of a configuration.
        stages: also export the outputs of the network's stages.

    Returns:
        serving_default: image_bytes (N,), JPEG, PNG, GIF or BMP of any size -> classes (N, k) int32, labels (N, k)
            string, scores (N, k) float32, best first, and status (N,) string. A row whose status is not "OK" has
            classes -1, labels "" and scores 0.
        predict_images, predict_images_uint8: images (N, H, W, C) float32 or uint8 in [0, 255], of any size ->
            logits and scores (N, classes) float32. Images of the network's size are not resized.
        features: images as for predict_images -> features (N, F) float32, the average of the last feature map.
        network: preprocessed images (N, *image_shape) float32 in [0, 255] -> logits and scores (N, classes) float32.
            It does not resize, so that XLA, TensorRT and converters to other formats support it.
        stages: images as for predict_images -> stage1 (N, h, w, c) float32, ...
    """
    preprocessing, names = description.preprocessing, tf.constant(description.labels)
    top_k = settings.top_k or min(5, len(description.labels))
    reasons = untrusted.reasons(settings.max_image_bytes, settings.max_image_pixels)
    limits = settings.max_image_bytes, settings.max_image_pixels

    def prepare(pixels):
        return transforms.prepare(pixels, preprocessing)

    def answers(images):
        return network(prepare_batch(images, preprocessing))

    def serving_default(image_bytes):
        images, codes = untrusted.decode_all(image_bytes, prepare, preprocessing.image_shape, *limits)
        status = tf.gather(tf.constant(reasons), codes)
        if settings.on_invalid_image == "fail":
            with tf.control_dependencies([_all_readable(codes, status)]):
                images = tf.identity(images)
        scores, classes = tf.math.top_k(tf.nn.softmax(network(images)["logits"]), k=top_k)
        good = (codes == 0)[:, None]
        return {
            "classes": tf.where(good, classes, -1),
            "labels": tf.where(good, tf.gather(names, classes), ""),
            "scores": tf.where(good, scores, 0.0),
            "status": status,
        }

    def predict_images(images):
        return alone(prepare_batch(images, preprocessing))

    def alone(images):
        logits = network(images)["logits"]
        return {"logits": logits, "scores": tf.nn.softmax(logits)}

    def features(images):
        return {"features": answers(images)["features"]}

    def stage_outputs(images):
        return {name: value for name, value in answers(images).items() if name.startswith("stage")}

    def images_of(dtype):
        return [tf.TensorSpec([None, None, None, preprocessing.channels], dtype, name="images")]

    functions = {
        "serving_default": (serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")]),
        "predict_images": (predict_images, images_of(tf.float32)),
        "predict_images_uint8": (predict_images, images_of(tf.uint8)),
        "features": (features, images_of(tf.float32)),
        "network": (alone, [tf.TensorSpec([None, *preprocessing.image_shape], tf.float32, name="images")]),
    }
    return functions | ({"stages": (stage_outputs, images_of(tf.float32))} if stages else {})


def _all_readable(codes, status):
    """Asserts that all rows are readable; the error names the first unreadable row."""
    row = tf.argmax(tf.cast(codes != 0, tf.int32))
    readable = tf.reduce_all(codes == 0)
    said = tf.cond(readable, lambda: "", lambda: "row " + tf.strings.as_string(row) + " " + status[row])
    return tf.debugging.Assert(readable, ["image_bytes:", said])
