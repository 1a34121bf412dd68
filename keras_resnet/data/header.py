"""Reads the format and size of an image from its first bytes, and describes the formats. Loads no TensorFlow.

`image_header` reads the same headers inside a TensorFlow graph (docs/decisions/0022-two-header-readers.md).
"""

import struct
from dataclasses import dataclass

MAX_ASPECT = 64  # longer side divided by shorter side: resized images stay small
MAX_PIXELS = 50_000_000  # 150 MB of RGB; `export.max_image_pixels` by default
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by color type (PNG specification, section 11.2.1); 3 is a palette
SIGNATURES = {  # format -> the first bytes of a file; a WebP also has b"WEBP" from byte 8 on
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "GIF": b"GIF8",
    "BMP": b"BM",
    "WEBP": b"RIFF",
}
NO_FRAME = (0xC4, 0xC8, 0xCC)  # JPEG markers from SOF0 to SOF15 that start no frame (ITU-T T.81, table B.1)
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True)
class Header:
    """The header of an image file. Channels: 1 gray, 2 gray with alpha, 3 RGB or palette, 4 RGBA or CMYK."""

    format: str
    height: int
    width: int
    channels: int


def read_header(content: bytes) -> Header | None:
    """Returns the format and size of an image without decoding it; None if its first bytes match no format."""
    try:
        if content.startswith(SIGNATURES["JPEG"]):
            return _jpeg_header(content)
        if content.startswith(SIGNATURES["PNG"]):
            width, height, _, color = struct.unpack_from(">IIBB", content, 16)
            return Header("PNG", height, width, _PNG_CHANNELS.get(color, 3))
        if content.startswith(SIGNATURES["GIF"]):
            width, height = struct.unpack_from("<HH", content, 6)
            return Header("GIF", height, width, 3)
        if content.startswith(SIGNATURES["BMP"]):
            width, height = struct.unpack_from("<ii", content, 18)
            return Header("BMP", abs(height), width, 3)  # negative if the first row is the top row
        if content.startswith(SIGNATURES["WEBP"]) and content[8:12] == b"WEBP":
            return _webp_header(content)
    except struct.error:
        pass
    return None


def _jpeg_header(content):
    """Returns the first frame header; None if the markers lead to none."""
    at = 2
    while True:
        sync, marker = struct.unpack_from(">BB", content, at)
        if sync != 0xFF:
            return None
        if marker == 0xFF:  # fill byte; any number of them may precede a marker
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in NO_FRAME:
            height, width, channels = struct.unpack_from(">HHB", content, at + 5)
            return Header("JPEG", height, width, channels)
        elif marker in (0xD9, 0xDA):  # end of the image, or start of the pixels
            return None
        else:
            (length,) = struct.unpack_from(">H", content, at + 2)
            if length < 2:
                return None
            at += 2 + length


def _webp_header(content):
    """Reads a lossy, lossless or extended file; an extended file gives its canvas size (RFC 9649, section 2)."""
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return Header("WEBP", height % 2**14, width % 2**14, 3)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return Header("WEBP", 1 + bits // 2**14 % 2**14, 1 + bits % 2**14, 3 + bits // 2**28 % 2)
    if kind == b"VP8X":
        flags, low_width, high_width, low_height, high_height = struct.unpack_from("<B3xHBHB", content, 20)
        height, width = 1 + low_height + 2**16 * high_height, 1 + low_width + 2**16 * high_width
        return Header("WEBP", height, width, 3 + flags // 16 % 2)
    return None
