"""Finds images by file, folder and pattern, and converts their bytes to a network's input."""

import glob
import os
import sys
from collections.abc import Sequence

import numpy as np

from keras_resnet.data.folder_tree import IMAGE_SUFFIXES, list_images
from keras_resnet.data.header import MAX_PIXELS, read_header
from keras_resnet.description import Preprocessing
from keras_resnet.errors import DataError
from keras_resnet.inference import light_images
from keras_resnet.inference.predictor import Answer, ImageError, Predictor, best_classes


def find_images(names: Sequence[str]) -> list[str]:
    """Returns named files, files that match a pattern, and all images in a folder, sorted.

    A name that matches nothing was saved, so that the answers have a line for it.
    """
    found: list[str] = []
    for name in names:
        if not os.path.lexists(name) and glob.has_magic(name):
            matches = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
            found += matches or [name]
        elif os.path.isdir(name):
            found += list_images(name) or [name]
        else:
            found.append(name)
    return found


def read_image(path: str) -> bytes | ImageError:
    """Returns an image's bytes after a check of its header, which refuses images that are too large."""
    if os.path.isdir(path):
        return ImageError(f"holds no images ({IMAGE_SUFFIXES})")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        no_match = glob.has_magic(path) and not os.path.lexists(path)
        return ImageError("matches no file" if no_match else f"cannot be read ({error.strerror})")
    if not content:
        return ImageError("has 0 bytes")
    header = read_header(content)
    if header and header.height * header.width > MAX_PIXELS:
        return ImageError(f"{header.height} x {header.width} pixels, more than {MAX_PIXELS}; not decoded")
    return content


def decoded(content: bytes, channels: int) -> np.ndarray:
    """An image's bytes -> pixels (H, W, channels) uint8.

    Raises:
        DataError: the image cannot be decoded; the message gives the reason in a few words.
    """
    pixels = light_images.decode(content, channels)  # avoids the pipeline's graph, which takes seconds to build
    if pixels is not None:
        return pixels
    import tensorflow as tf

    from keras_resnet.data.decode import decode
    from keras_resnet.data.unreadable_images import reason

    try:
        with tf.device("CPU:0"):
            return decode(tf.constant(content), channels).numpy()
    except tf.errors.OpError as error:
        raise DataError(reason(error)) from None


def prepared(pixels: np.ndarray, preprocessing: Preprocessing, size: int) -> np.ndarray:
    """pixels (H, W, C) uint8 -> (size, size, C) float32 in [0, 255], as in validation."""
    if sys.modules.get("tensorflow") is None:  # LiteRT and onnxruntime do not wait until it is loaded
        return light_images.prepare(pixels, preprocessing, size)
    import tensorflow as tf

    from keras_resnet.data import transforms

    with tf.device("CPU:0"):
        image, crop_pct = tf.constant(pixels), preprocessing.crop_pct
        return transforms.for_test(image, size, crop_pct, preprocessing.interpolation).numpy()


def answer_prepared(predictor: Predictor, contents: Sequence[bytes], top_k: int) -> list[Answer]:
    """Implements `Predictor.answer` for networks that take prepared images."""
    answers: list[Answer | None] = []
    images = []
    for content in contents:
        try:
            pixels = decoded(content, predictor.image_shape[2])
        except DataError as error:
            answers.append(ImageError(str(error)))
        else:
            answers.append(None)
            images.append(prepared(pixels, predictor.preprocessing, predictor.image_shape[0]))
    found = iter(best_classes(predictor.logits(np.stack(images)), predictor.labels, top_k) if images else [])
    return [answer or next(found) for answer in answers]
