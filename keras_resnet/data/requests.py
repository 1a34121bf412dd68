"""Decodes the images of a request inside an exported model, where a bad image must not harm the others."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.data.decoders import pixels_of
from keras_resnet.data.image_header import DECODE, OK, checked, reasons
from keras_resnet.description import ExifOrientation, Preprocessing


def decode_request(
    image_bytes, prepare: Callable, specs, channels: int, settings: Export, exif: ExifOrientation = "apply"
):
    """image_bytes (N,) -> (tensors (N, ...) of `prepare`, readable (N,) bool, status (N,) string).

    Args:
        image_bytes: contents of image files.
        prepare: pixels (H, W, channels) uint8 -> a tensor or a nest of tensors.
        specs: `tf.TensorSpec`s of what `prepare` returns.
        channels: 1 or 3.
        settings: the limits, and whether the request fails if an image is bad.
        exif: see `keras_resnet.data.decode.decode`.
    """
    limits = settings.max_image_bytes, settings.max_image_pixels
    tensors, codes = decode_all(image_bytes, prepare, specs, channels, *limits, exif)
    status = tf.gather(tf.constant(reasons(*limits)), codes)
    if settings.on_invalid_image == "fail":
        with tf.control_dependencies([_all_readable(codes, status)]):
            tensors = tf.nest.map_structure(tf.identity, tensors)
    return tensors, codes == OK, status


def box_signatures(
    serving_default: Callable, predict_images: Callable, network: Callable, preprocessing: Preprocessing
) -> dict[str, tuple[Callable, list]]:
    """Returns the signatures of an exported model of boxes, each with its input specs, with the default first.

    Args:
        serving_default: contents of image files (N,) -> outputs.
        predict_images: images (N, H, W, C) of any size -> outputs.
        network: preprocessed images (N, *image_shape) -> outputs.
        preprocessing: the model's, which has the size and the channels of its images.
    """

    def images_of(dtype, shape=(None, None)):
        return [tf.TensorSpec([None, *shape, preprocessing.channels], dtype, name="images")]

    return {
        "serving_default": (serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")]),
        "predict_images": (predict_images, images_of(tf.float32)),
        "predict_images_uint8": (predict_images, images_of(tf.uint8)),
        "network": (network, images_of(tf.float32, preprocessing.image_shape[:2])),
    }


def _all_readable(codes, status):
    """Asserts that all rows are readable; the error names the first unreadable row."""
    row = tf.argmax(tf.cast(codes != OK, tf.int32))
    readable = tf.reduce_all(codes == OK)
    said = tf.cond(readable, lambda: "", lambda: "row " + tf.strings.as_string(row) + " " + status[row])
    return tf.debugging.Assert(readable, ["image_bytes:", said])


def decode_all(
    contents,
    prepare: Callable,
    specs,
    channels: int,
    max_bytes: int,
    max_pixels: int,
    exif: ExifOrientation = "apply",
):
    """contents (N,) strings -> tensors (N, ...) of `prepare`, zeros for bad images, and codes (N,) int32.

    TensorFlow's decoders raise errors, and only tf.data can continue after an error. Therefore rows are decoded as
    elements of a data set, in parallel, and the successful ones are scattered back to their places.

    Args:
        contents: bytes of image files.
        prepare: pixels (H, W, channels) uint8 -> a tensor or a nest of tensors.
        specs: `tf.TensorSpec`s of what `prepare` returns.
        channels: 1 or 3.
        max_bytes, max_pixels: an image that has more is not decoded.
        exif: see `keras_resnet.data.decode.decode`.
    """
    count = tf.size(contents)
    zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)

    def row(index, content):
        code, kind, content, _ = checked(content, max_bytes, max_pixels)
        prepared = tf.cond(code == OK, lambda: prepare(pixels_of(content, kind, channels, exif)), lambda: zeros)
        return index, code, prepared

    def placed(values, spec):
        scattered = tf.scatter_nd(places, values, tf.stack([count + 1, *spec.shape]))[:count]
        return tf.ensure_shape(scattered, (None, *spec.shape))

    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), contents))
    rows = rows.map(row, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False).ignore_errors()
    rows = rows.concatenate(tf.data.Dataset.from_tensors((count, OK, zeros)))  # so that there is at least one
    places, codes, prepared = rows.batch(tf.cast(count, tf.int64) + 1).get_single_element()
    places = places[:, None]
    codes = tf.tensor_scatter_nd_update(tf.fill([count + 1], DECODE), places, codes)[:count]
    return tf.nest.map_structure(placed, prepared, specs), codes
