"""Tests the pixels of PNG and JPEG files of unusual kinds against Pillow's."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.data.decode import decode
from keras_resnet.inference.images import decoded

BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLORS = np.stack([BYTES, BYTES[::-1], BYTES.T], -1)
ALPHA = np.where(BYTES % 3 == 0, 0, BYTES)
# The last value of an upper byte, the first of the next, and both ends.
VALUES = np.array([[0, 255, 256, 257, 511, 512], [32767, 32768, 65279, 65280, 65534, 65535]], ">u2")


def saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png16(rows, color_type):
    """Writes a PNG of 16 bits (PNG specification, section 5), which Pillow writes in gray alone."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 16, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def palette(colors):
    return Image.fromarray(COLORS).quantize(colors)


LIKE_PILLOW = {
    "rgb of 16 bits": png16(np.stack([VALUES, VALUES[::-1], VALUES], -1), 2),
    "rgba of 16 bits": png16(np.stack([VALUES, VALUES[::-1], VALUES, VALUES // 2], -1), 6),
    "gray and alpha of 16 bits": png16(np.stack([VALUES, VALUES[::-1]], -1), 4),
    "gray and alpha": saved(Image.fromarray(np.stack([BYTES, ALPHA], -1), "LA")),
    "rgba": saved(Image.fromarray(np.concatenate([COLORS, ALPHA[..., None]], -1))),
    "gray with a transparent value": saved(Image.fromarray(BYTES), transparency=100),
    "1 bit": saved(Image.fromarray(BYTES).convert("1")),
    "palette": saved(palette(256)),
    "palette of 4 bits": saved(palette(13)),
    "palette of 1 bit": saved(palette(2)),
    "palette with a transparent color": saved(palette(256), transparency=3),
    "palette with alphas": saved(palette(256), transparency=bytes(range(256))),
}


@pytest.mark.parametrize("content", LIKE_PILLOW.values(), ids=list(LIKE_PILLOW))
def test_png_has_the_pixels_of_pillows_conversion_to_rgb(content):
    with Image.open(io.BytesIO(content)) as image:
        image.info.pop("transparency", None)  # dropped; for palettes with alphas Pillow warns
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(tf.constant(content), 3), expected)
    np.testing.assert_array_equal(decoded(content, 3), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_png_of_16_bits_has_the_upper_bytes_of_pillows_values(channels):
    """Not those of Pillow's `convert`, which makes every value above 255 white."""
    content = png16(VALUES, 0)
    with Image.open(io.BytesIO(content)) as image:
        values = np.asarray(image)
    assert values.tolist() == VALUES.tolist()
    expected = [[0, 0, 1, 1, 1, 2], [127, 128, 254, 255, 255, 255]]
    for pixels in (decode(tf.constant(content), channels).numpy(), decoded(content, channels)):
        assert pixels.shape == (2, 6, channels)
        assert all(pixels[..., i].tolist() == expected for i in range(channels))
    assert (values // 256).tolist() == expected


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_cmyk_jpeg_is_read_in_color_and_in_gray(exif):
    """Within one level of Pillow, which rounds the product of color and black in another way."""
    content = saved(Image.fromarray(np.concatenate([COLORS, ALPHA[..., None]], -1), "CMYK"), "JPEG", quality=95)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    color, gray = (decode(tf.constant(content), channels, exif).numpy().astype(int) for channels in (3, 1))
    assert np.abs(color - expected).max() <= 1
    assert np.abs(gray[..., 0] - color @ [0.299, 0.587, 0.114]).max() <= 1
