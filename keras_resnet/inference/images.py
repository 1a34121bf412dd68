"""Finds images, and converts their bytes to a network's input with the pipeline's pixels but without TensorFlow."""

import glob
import io
import math
import os
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_resnet.data.arrays import FORMATS, is_array, read_array
from keras_resnet.data.folder_tree import IMAGE_SUFFIXES, list_images
from keras_resnet.data.header import MAX_ASPECT, MAX_PIXELS, read_header
from keras_resnet.data.pillow_formats import as_png, pillow_format
from keras_resnet.description import ExifOrientation, ImageSize, Preprocessing, height_and_width
from keras_resnet.errors import DataError
from keras_resnet.inference.answers import Answer, BoxPredictor, ClassPredictor, ImageError
from keras_resnet.inference.postprocessing import best_classes, best_objects, labels_above

COLORS = 3  # channels; images of more are arrays
_PNG_BITS = 24  # position of the bit depth in a PNG


def decode_with_pillow(content: bytes, channels: int, exif: ExifOrientation = "apply") -> np.ndarray | None:
    """An image's bytes -> pixels (H, W, channels) uint8, the same as of `keras_resnet.data.decode.decode`.

    Returns None if Pillow's pixels may differ, or if the image must be refused with a reason; TensorFlow then decodes
    it. Reads JPEGs of one or three channels, and PNGs of 8 bits.
    """
    header = read_header(content)
    if not header or header.format not in ("JPEG", "PNG"):
        return None
    shorter, longer = sorted((header.height, header.width))
    if not shorter or longer > MAX_ASPECT * shorter or shorter * longer > MAX_PIXELS:
        return None
    if header.format == "PNG" and content[_PNG_BITS] != 8:
        return None
    try:
        with Image.open(io.BytesIO(content), formats=[header.format]) as image:
            pixels = _pixels(image, channels)
    except Exception:  # any error of Pillow for a damaged file; TensorFlow gives the reason
        return None
    return pixels if pixels is None or exif == "ignore" else _upright(pixels, header.orientation)


def _upright(pixels, orientation):
    """Stored pixels (H, W, C) -> the upright image, as `keras_resnet.data.orientation.turned` returns it."""
    if orientation > 4:
        pixels = pixels.transpose(1, 0, 2)
    down, right = ((1, 1), (1, -1), (-1, -1), (-1, 1))[(orientation - 1) % 4]
    return np.ascontiguousarray(pixels[::down, ::right])


def _pixels(image, channels):
    if image.format == "JPEG" and image.mode == "RGB" and channels == 1:
        image.draft("L", image.size)  # the luminance in the file, as libjpeg gives it to TensorFlow
    if image.mode == "P":
        image.info.pop("transparency", None)  # transparency is dropped, not blended
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if image.mode in ("L", "LA"):
        gray = pixels.reshape(*pixels.shape[:2], -1)[..., :1]
        return np.repeat(gray, channels, -1)
    if image.mode in ("RGB", "RGBA") and channels == 3:
        return np.ascontiguousarray(pixels[..., :3])
    return None


def prepare_with_pillow(pixels: np.ndarray, preprocessing: Preprocessing, size: ImageSize) -> np.ndarray:
    """pixels (H, W, C) uint8 -> (h, w, C) float32 of `size`, as `keras_resnet.data.transforms.prepare` returns it."""
    if preprocessing.resize == "letterbox":
        return _letterboxed(pixels, preprocessing.mean, height_and_width(size)[0])
    sides = height_and_width(size)
    covered = np.asarray([round(side / preprocessing.crop_pct) for side in sides], np.float32)
    shape = np.asarray(pixels.shape[:2], np.float32)
    height, width = np.round(shape * (covered / shape).max()).astype(int)
    image = _resized(pixels, 0, height, preprocessing.interpolation)
    image = _resized(image, 1, width, preprocessing.interpolation)
    if preprocessing.interpolation == "bicubic":  # bicubic overshoots at edges
        image = np.clip(image, 0, 255)
    top, left = (height - sides[0]) // 2, (width - sides[1]) // 2
    return image[top : top + sides[0], left : left + sides[1]].astype(np.float32)


def _letterboxed(pixels, mean, side):
    """Resizes an image so that its longer side is `side`, and fills the rest of the square with a color."""
    shape = np.asarray(pixels.shape[:2], np.float32)
    height, width = np.maximum(np.round(shape * (np.float32(side) / shape.max())), 1).astype(int)
    square = np.broadcast_to(np.asarray(mean, np.float32), (side, side, len(mean))).copy()
    square[:height, :width] = _resized(_resized(pixels, 0, height, "bilinear"), 1, width, "bilinear")
    return square


def _resized(image, axis, size, interpolation):
    """Resizes one axis of an image (H, W, C) as `tf.image.resize` with antialias=True does.

    A pixel is the average of the pixels under the kernel, weighted by it; the kernel widens as the image shrinks.
    """
    before = image.shape[axis]
    if size == before:
        return image.astype(np.float32)
    radius, kernel = _KERNELS[interpolation]
    step = before / size
    wide = max(step, 1)
    image = np.moveaxis(image, axis, 0)
    found = np.empty((size, *image.shape[1:]), np.float32)
    for i in range(size):
        center = (i + 0.5) * step
        first = max(math.ceil(center - radius * wide - 0.5), 0)
        last = min(math.floor(center + radius * wide - 0.5), before - 1)
        weights = kernel(np.abs(np.arange(first, last + 1) + 0.5 - center) / wide)
        weights = (weights / weights.sum()).astype(np.float32)
        found[i] = np.tensordot(weights, image[first : last + 1].astype(np.float32), 1)
    return np.moveaxis(found, 0, axis)


def _triangle(x):
    return np.maximum(1 - x, 0)


def _cubic(x):
    """Returns the cubic kernel of Keys 1981 with a = -1/2."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_KERNELS = {"bilinear": (1, _triangle), "bicubic": (2, _cubic)}


def find_images(names: Sequence[str], channels: int = 3) -> list[str]:
    """Returns named files, files that match a pattern, and all images in a folder, sorted.

    A name that matches nothing was saved, so that the answers have a line for it.
    """
    found: list[str] = []
    for name in names:
        if not os.path.lexists(name) and glob.has_magic(name):
            matches = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
            found += matches or [name]
        elif os.path.isdir(name):
            found += list_images(name, is_array if channels > COLORS else None) or [name]
        else:
            found.append(name)
    return found


def read_image(path: str, channels: int = 3) -> bytes | ImageError:
    """Returns an image's bytes after a check of its header, which refuses images that are too large.

    AVIF, TIFF and HEIC, which neither TensorFlow nor exported models read, are returned as PNG of the same pixels.
    """
    if os.path.isdir(path):
        return ImageError(f"holds no images ({FORMATS if channels > COLORS else IMAGE_SUFFIXES})")
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
    if channels <= COLORS and pillow_format(content):
        try:
            return as_png(content)
        except DataError as error:
            return ImageError(str(error))
    return content


def decoded(content: bytes, channels: int, exif: ExifOrientation = "apply") -> np.ndarray:
    """An image's bytes -> pixels (H, W, channels) uint8, float32 for more than three channels.

    Raises:
        DataError: the image cannot be decoded; the message gives the reason in a few words.
    """
    if channels > COLORS:
        return read_array(content, channels)
    pixels = decode_with_pillow(content, channels, exif)  # avoids the pipeline's graph, which takes seconds to build
    if pixels is not None:
        return pixels
    import tensorflow as tf

    from keras_resnet.data.decode import decode
    from keras_resnet.data.pipeline import reason

    try:
        with tf.device("CPU:0"):
            return decode(tf.constant(content), channels, exif).numpy()
    except tf.errors.OpError as error:
        raise DataError(reason(error)) from None


def image_size_of(content: bytes) -> tuple[int, int]:
    """An image's bytes -> its height and width, upright.

    Raises:
        DataError: the image cannot be decoded.
    """
    header = read_header(content)
    if header:
        return header.upright_size
    height, width, _ = decoded(content, 3).shape
    return height, width


def prepared(pixels: np.ndarray, preprocessing: Preprocessing, size: ImageSize) -> np.ndarray:
    """pixels (H, W, C) uint8 -> (h, w, C) float32 in [0, 255] of `size`, as in validation."""
    if sys.modules.get("tensorflow") is None:  # LiteRT and onnxruntime do not wait until it is loaded
        return prepare_with_pillow(pixels, preprocessing, size)
    import tensorflow as tf

    from keras_resnet.data import transforms

    with tf.device("CPU:0"):
        image, crop_pct = tf.constant(pixels), preprocessing.crop_pct
        if preprocessing.resize == "letterbox":
            return transforms.letterbox(image, height_and_width(size)[0], preprocessing.mean)[0].numpy()
        return transforms.for_test(image, size, crop_pct, preprocessing.interpolation).numpy()


def answer_prepared(predictor: ClassPredictor | BoxPredictor, contents: Sequence[bytes], top_k: int) -> list[Answer]:
    """Implements `Predictor.answer` for networks that take prepared images."""
    answers: list[Answer | None] = []
    images: list[np.ndarray] = []
    sizes: list[tuple[int, int]] = []
    for content in contents:
        try:
            pixels = decoded(content, predictor.image_shape[2], predictor.preprocessing.exif_orientation)
        except DataError as error:
            answers.append(ImageError(str(error)))
        else:
            answers.append(None)
            images.append(prepared(pixels, predictor.preprocessing, predictor.image_shape[:2]))
            sizes.append(pixels.shape[:2])
    found = iter(_found(predictor, np.stack(images), sizes, top_k) if images else [])
    return [answer or next(found) for answer in answers]


def _found(predictor, images, sizes, top_k):
    if predictor.finds_boxes:
        outputs = predictor.detections(images)
        crop_pct = None if predictor.preprocessing.resize == "letterbox" else predictor.preprocessing.crop_pct
        return best_objects(outputs, predictor.labels, top_k, sizes, predictor.image_shape[0], crop_pct)
    logits = predictor.logits(images)
    if predictor.thresholds:
        return labels_above(logits, predictor.labels, predictor.thresholds, top_k)
    return best_classes(logits, predictor.labels, top_k)
