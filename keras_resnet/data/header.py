"""Reads an image's format, size and EXIF orientation from its first bytes. Loads no TensorFlow.

`image_header` and `orientation` read them inside a TensorFlow graph (docs/decisions/0022-two-header-readers.md).
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
EXIF = b"Exif\0\0"  # begins the APP1 segment of a JPEG that holds EXIF data
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}  # by the first bytes of EXIF data, which are a TIFF header
ORIENTATION, SHORT = 0x112, 3  # tag and type of the orientation (EXIF 2.3, table 4)
NO_FRAME = (0xC4, 0xC8, 0xCC)  # JPEG markers from SOF0 to SOF15 that start no frame (ITU-T T.81, table B.1)
_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True)
class Header:
    """The header of an image file.

    Attributes:
        format: a key of `SIGNATURES`.
        height, width: of the stored image.
        channels: 1 gray, 2 gray with alpha, 3 RGB or palette, 4 RGBA or CMYK.
        orientation: EXIF orientation of a JPEG, 1 to 8; 1 if it has no valid one, and for other formats.
    """

    format: str
    height: int
    width: int
    channels: int
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """Returns (height, width) of the image after its EXIF orientation is applied."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)


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
    at, orientation = 2, None
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
            return Header("JPEG", height, width, channels, orientation or 1)
        elif marker in (0xD9, 0xDA):  # end of the image, or start of the pixels
            return None
        else:
            (length,) = struct.unpack_from(">H", content, at + 2)
            if length < 2:
                return None
            if marker == 0xE1 and orientation is None and content.startswith(EXIF, at + 4):
                orientation = _orientation(content[at + 4 + len(EXIF) : at + 2 + length])
            at += 2 + length


def _orientation(tiff):
    """Returns the orientation in the first directory of EXIF data; 1 if it has no valid one."""
    order = BYTE_ORDERS.get(tiff[:4])
    if not order:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for i in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH2x", tiff, start + 2 + 12 * i)
            if tag == ORIENTATION:
                return value if kind == SHORT and count == 1 and 1 <= value <= 8 else 1
    except struct.error:  # the directory is outside of the segment or cut off
        pass
    return 1


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
