"""What the first bytes of a picture say of its format and size. Loads no TensorFlow."""

import struct
from dataclasses import dataclass

MAX_ASPECT = 64  # of the longer side to the shorter: resized images stay small
MAX_PIXELS = 50_000_000  # 150 MB of RGB; `export.max_image_pixels` by default
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by color type (PNG specification, section 11.2.1); 3 is a palette
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # markers of JPEG between SOF0 and SOF15 that begin none (ITU-T T.81, table B.1)
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True)
class Header:
    """What a file says of its picture. Channels: 1 gray, 2 gray with alpha, 3 RGB or palette, 4 RGBA or CMYK."""

    format: str
    height: int
    width: int
    channels: int


def read_header(content: bytes) -> Header | None:
    """The format and size of a picture, not decoded; None where its first bytes are not those of one."""
    try:
        if content.startswith(b"\xff\xd8\xff"):
            return _jpeg_header(content)
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height, _, color = struct.unpack_from(">IIBB", content, 16)
            return Header("PNG", height, width, _PNG_CHANNELS.get(color, 3))
        if content.startswith(b"GIF8"):
            width, height = struct.unpack_from("<HH", content, 6)
            return Header("GIF", height, width, 3)
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return Header("BMP", abs(height), width, 3)  # negative: the first row is the top one
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp_header(content)
    except struct.error:
        pass
    return None


def _jpeg_header(content):
    """The first frame header; None where the markers do not lead to one."""
    at = 2
    while True:
        sync, marker = struct.unpack_from(">BB", content, at)
        if sync != 0xFF:
            return None
        if marker == 0xFF:  # any number of them may stand before a marker
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width, channels = struct.unpack_from(">HHB", content, at + 5)
            return Header("JPEG", height, width, channels)
        elif marker in (0xD9, 0xDA):  # the end, or pixels
            return None
        else:
            (length,) = struct.unpack_from(">H", content, at + 2)
            if length < 2:
                return None
            at += 2 + length


def _webp_header(content):
    """RFC 9649, section 2: a lossy, a lossless, or an extended file, which names its canvas."""
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
