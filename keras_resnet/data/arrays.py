"""Reads images of four or more channels, such as multi-spectral ones, from `.npy` and TIFF files. Loads no TensorFlow.

Values keep the units of the files; a network normalizes them by a mean and a standard deviation in these units.
"""

import io

import numpy as np
from PIL import Image

from keras_resnet.data.header import MAX_ASPECT, MAX_PIXELS
from keras_resnet.data.pillow_formats import pillow_format
from keras_resnet.errors import DataError, needs

SUFFIXES = (".npy", ".tif", ".tiff")
FORMATS = ".npy and .tif"  # for messages
_NPY = b"\x93NUMPY"


def is_array(name: str) -> bool:
    """Returns whether a file of that name is read as an image of four or more channels."""
    return name.lower().endswith(SUFFIXES)


def read_array(content: bytes, channels: int) -> np.ndarray:
    """The bytes of a file -> values (H, W, channels) float32, in the units of the file.

    Raises:
        DataError: the file is damaged, has another number of channels, is too large, or has values that are no numbers.
    """
    if content.startswith(_NPY):
        try:
            values = np.load(io.BytesIO(content), allow_pickle=False)
        except Exception:  # of many kinds for a damaged header
            raise DataError("is a damaged .npy, or one of objects; expected numbers") from None
    elif pillow_format(content) == "TIFF":
        values = _tiff(content)
        if values.ndim == 3 and values.shape[0] == channels != values.shape[2]:
            values = np.moveaxis(values, 0, 2)  # one plane for each channel
    else:
        raise DataError(f"is neither .npy nor TIFF, from which images of {channels} channels are read")
    return _checked(values, channels)


def _checked(values, channels):
    if values.ndim != 3 or values.shape[2] != channels:
        raise DataError(f"has the shape {values.shape}; expected (height, width, {channels}) by data.channels")
    if values.dtype.kind not in "uif":
        raise DataError(f"has values of type {values.dtype}; expected whole or floating-point numbers")
    shorter, longer = sorted(values.shape[:2])
    if shorter * longer > MAX_PIXELS:
        raise DataError(f"has more than {MAX_PIXELS:,} pixels ({values.shape[0]} x {values.shape[1]} pixels)")
    if not shorter or longer > MAX_ASPECT * shorter:
        raise DataError(f"is more than {MAX_ASPECT} times as long as it is wide")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError("has values that are not finite: NaN or infinity, or beyond float32")
    return values


def _tiff(content):
    try:
        with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
            if image.mode in ("RGBA", "RGBX", "CMYK"):
                return np.asarray(image)
    except Exception:  # Pillow reads no other TIFF of four or more channels
        pass
    try:
        import tifffile
    except ImportError:
        raise DataError(f"is a TIFF of several channels, which {needs('tifffile', 'tiff')}") from None
    try:
        return tifffile.imread(io.BytesIO(content), key=0)
    except Exception:
        raise DataError("is a truncated or damaged TIFF") from None


def visible(values: np.ndarray) -> np.ndarray:
    """Values (..., H, W, C) -> an image (..., H, W, 3) uint8: the first three channels, each stretched to [0, 255]."""
    first = values[..., :3].astype(np.float32)
    low, high = (reduce(first, axis=(-3, -2), keepdims=True) for reduce in (np.min, np.max))
    return np.rint((first - low) * (255 / np.maximum(high - low, 1e-12))).astype(np.uint8)
