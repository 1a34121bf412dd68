"""Decodes and prepares images with Pillow and NumPy: gives the pipeline's pixels without TensorFlow."""

import io
import math

import numpy as np
from PIL import Image

from keras_resnet.data.header import MAX_ASPECT, MAX_PIXELS, read_header
from keras_resnet.description import Preprocessing

_PNG_BITS = 24  # position of the bit depth in a PNG


def decode(content: bytes, channels: int) -> np.ndarray | None:
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
            return _pixels(image, channels)
    except Exception:  # any error of Pillow for a damaged file; TensorFlow gives the reason
        return None


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


def prepare(pixels: np.ndarray, preprocessing: Preprocessing, size: int) -> np.ndarray:
    """pixels (H, W, C) uint8 -> (size, size, C) float32, as `keras_resnet.data.transforms.for_test` returns it."""
    side = round(size / preprocessing.crop_pct)
    shape = np.asarray(pixels.shape[:2], np.float32)
    height, width = np.round(shape * (np.float32(side) / shape.min())).astype(int)
    image = _resized(pixels, 0, height, preprocessing.interpolation)
    image = _resized(image, 1, width, preprocessing.interpolation)
    if preprocessing.interpolation == "bicubic":  # bicubic overshoots at edges
        image = np.clip(image, 0, 255)
    top, left = (height - size) // 2, (width - size) // 2
    return image[top : top + size, left : left + size].astype(np.float32)


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
