"""Decodes with Pillow what TensorFlow does not: AVIF, TIFF and, with the extra `heic`, HEIC. Loads no TensorFlow.

Of all three, the pixels are upright: a rotation is a part of these formats, not EXIF data beside them.
"""

import io
import struct

import numpy as np
from PIL import Image, ImageOps

from keras_resnet.data.header import MAX_ASPECT, MAX_PIXELS, Header
from keras_resnet.errors import DataError, needs

SUFFIXES = {"AVIF": (".avif",), "TIFF": (".tif", ".tiff"), "HEIC": (".heic", ".heif", ".hif")}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and of more than 4 GB, in both byte orders
# Brands of ISO/IEC 23008-12, annex B, and of AVIF 1.1, section 6.
_BRANDS = {"AVIF": (b"avif", b"avis"), "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1")}
_PLUGINS = {"AVIF": "AVIF", "TIFF": "TIFF", "HEIC": "HEIF"}
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "I;16B": 1, "LA": 2, "RGBA": 4, "CMYK": 4}
_DARK = "has 16 bits a value, but uses only 0 to {} of 65535, and would be near black: multiply its values, as by 16"


def pillow_format(content: bytes) -> str | None:
    """Returns "AVIF", "TIFF" or "HEIC" by the first bytes of a file, None for any other."""
    if content.startswith(_TIFF):
        return "TIFF"
    if content[4:8] != b"ftyp":
        return None
    (size,) = struct.unpack(">I", content[:4])
    brands = {content[i : i + 4] for i in (8, *range(16, min(size, 256), 4))}  # the main one, and compatible ones
    for name in ("AVIF", "HEIC"):
        if brands & {*_BRANDS[name]}:
            return name
    return None


def pillow_header(content: bytes) -> Header | None:
    """Returns the header of an image that `pillow_format` names, None if there is none."""
    try:
        with _opened(content) as image:
            return Header(pillow_format(content) or "", image.height, image.width, _CHANNELS.get(image.mode, 3))
    except DataError:
        return None


def decode_pillow_format(content: bytes) -> np.ndarray:
    """The bytes of an AVIF, TIFF or HEIC file -> its first image (H, W, 3) uint8, upright.

    Gray, palette and CMYK become RGB, transparency is dropped, and of 16 bits the upper 8 are used, as of a PNG.

    Raises:
        DataError: it cannot be decoded, is too large, or has values of more than 16 bits; the message says which.
    """
    with _opened(content) as image:
        shorter, longer = sorted(image.size)
        if shorter * longer > MAX_PIXELS:
            raise DataError(f"has more than {MAX_PIXELS:,} pixels ({image.height} x {image.width} pixels)")
        if not shorter or longer > MAX_ASPECT * shorter:
            raise DataError(f"is more than {MAX_ASPECT} times as long as it is wide")
        try:
            return _rgb(ImageOps.exif_transpose(image))
        except DataError:
            raise
        except Exception:  # any error of Pillow for a damaged file
            raise DataError(f"is a truncated or damaged {pillow_format(content)}") from None


def _opened(content):
    name = pillow_format(content)
    if name is None:
        raise DataError("is no AVIF, TIFF or HEIC")
    if name == "HEIC":
        _register_heic()
    try:
        return Image.open(io.BytesIO(content), formats=[_PLUGINS[name]])
    except Exception:
        raise DataError(f"is {name}, but Pillow cannot read it") from None


def _register_heic():
    if missing := heic_problem():
        raise DataError(f"is a HEIC image, which {missing}")
    import pillow_heif

    pillow_heif.register_heif_opener()


def heic_problem() -> str | None:
    """Returns what HEIC images need, None if it is installed."""
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        return needs("pillow_heif", "heic")
    return None


def _rgb(image):
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        if 0 < values.max() < 4096:
            raise DataError(_DARK.format(values.max()))
        return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, -1)
    if image.mode in ("I", "F"):
        raise DataError("has values of 32 bits; expected 8 or 16")
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB"))


def as_png(content: bytes) -> bytes:
    """Returns an AVIF, TIFF or HEIC file as a PNG of the pixels of `decode_pillow_format`, whose errors it raises."""
    stream = io.BytesIO()
    Image.fromarray(decode_pillow_format(content)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
