"""Finds images that are read differently from what viewers show; `verify-data` reports and does not refuse them."""

import contextlib
import io

import numpy as np
from PIL import Image

TRANSPARENT = "transparency, which is dropped: the color behind it counts"
ROTATED = "an EXIF orientation, which is not applied"
_ORIENTATION = 0x112  # EXIF 2.3, table 4


def oddity(content: bytes) -> str:
    """Returns `TRANSPARENT` or `ROTATED` for the bytes of a readable image, "" if it is read as viewers show it."""
    # Pillow may refuse what TensorFlow reads, with any exception.
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
        if image.format == "JPEG":
            return ROTATED if image.getexif().get(_ORIENTATION, 1) != 1 else ""
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            return TRANSPARENT
    return ""
