"""What is read from an image otherwise than its viewer shows it: for `verify-data` to tell, not to refuse."""

import contextlib
import io

import numpy as np
from PIL import Image

TRANSPARENT = "transparency, which is dropped: the color behind it counts"
ROTATED = "an EXIF orientation, which is not applied"
_ORIENTATION = 0x112  # EXIF 2.3, table 4


def oddity(content: bytes) -> str:
    """The file of an image that can be read -> `TRANSPARENT`, `ROTATED`, or "" for one that is read as it looks."""
    # Pillow may refuse what TensorFlow reads, in whatever way it does.
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
        if image.format == "JPEG":
            return ROTATED if image.getexif().get(_ORIENTATION, 1) != 1 else ""
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            return TRANSPARENT
    return ""
