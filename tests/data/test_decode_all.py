"""Tests decoding of untrusted bytes: each refused image has a reason, and headers are checked before decoding."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.data.header import SIGNATURES, read_header
from keras_resnet.data.image_header import checked, reasons
from keras_resnet.data.requests import decode_all
from keras_resnet.data.transforms import for_test

MAX_BYTES, MAX_PIXELS = 1_000_000, 1_000_000
OK, EMPTY, BYTES, FORMAT, HEADER, PIXELS, ASPECT, DECODE = range(8)
SIZE = 16


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photograph():
    """Returns a smooth image, which lossy formats change little."""
    rows, columns = np.mgrid[:60, :80]
    return Image.fromarray(np.stack([3 * rows, 2 * columns, 255 - rows - columns], -1).astype(np.uint8))


PHOTO = photograph()
GREY16 = Image.fromarray((np.asarray(PHOTO.convert("L")).astype(np.uint16) << 8) | 77)
READABLE = {
    "JPEG": encoded(PHOTO, "JPEG", quality=98),
    "progressive JPEG": encoded(PHOTO, "JPEG", quality=98, progressive=True),
    "JPEG with 120 kB of EXIF and ICC before its frame": encoded(
        PHOTO, "JPEG", quality=98, exif=b"Exif\0\0" + b"\xff\xc0" * 30_000, icc_profile=b"\xff\xc0" * 30_000
    ),
    "JPEG with bytes between its markers": encoded(PHOTO, "JPEG", quality=98)[:2]
    + b"\xff\xff\xff\x01ab"
    + encoded(PHOTO, "JPEG", quality=98)[2:],
    "CMYK JPEG": encoded(PHOTO.convert("CMYK"), "JPEG", quality=98),
    "PNG": encoded(PHOTO, "PNG"),
    "RGBA PNG": encoded(PHOTO.convert("RGBA"), "PNG"),
    "palette PNG": encoded(PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "GIF": encoded(PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
    "animated GIF": encoded(
        PHOTO.convert("P", palette=Image.Palette.ADAPTIVE), "GIF", save_all=True, append_images=[PHOTO.rotate(90)] * 3
    ),
    "BMP": encoded(PHOTO, "BMP"),
    "BMP of 32 bits": encoded(PHOTO.convert("RGBA"), "BMP"),
}
GREY = {
    "gray JPEG": encoded(PHOTO.convert("L"), "JPEG", quality=98),
    "gray PNG": encoded(PHOTO.convert("L"), "PNG"),
    "PNG with alpha": encoded(PHOTO.convert("LA"), "PNG"),
    "PNG of 16 bits": encoded(GREY16, "PNG"),
}


def png_of(width, height):
    """Returns the start of a PNG whose header declares this size; no pixels follow."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0) + b"\0" * 99


def jpeg_of(width, height, marker=0xC2):
    """Returns a JPEG, progressive by default, up to its frame header."""
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + frame + b"\0" * 99


def gif_of(frames, width, height, screen=(8, 8)):
    """Returns a GIF whose frames declare this size; each has two bytes of pixels."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x4c\1\0"
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes(6) + frame * frames + b";"


def bmp_of(width, height, bits=24):
    return b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, width, height, 1, bits, 0) + bytes(99)


REFUSED = {
    "empty": (b"", EMPTY),
    "many bytes": (READABLE["PNG"] + bytes(MAX_BYTES), BYTES),
    "text": (b"hello", FORMAT),
    "HTML": (b"<!doctype html><html></html>", FORMAT),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', FORMAT),
    "TIFF": (encoded(PHOTO, "TIFF"), FORMAT),
    "BMP with a palette": (encoded(PHOTO.convert("P"), "BMP"), FORMAT),
    "JPEG's first bytes": (READABLE["JPEG"][:3], HEADER),
    "JPEG without a frame": (b"\xff\xd8" + b"\xff\xe0\0\2" * 2000, HEADER),
    "JPEG that ends before its frame": (b"\xff\xd8\xff\xe0\xff\xff", HEADER),
    "PNG's first bytes": (READABLE["PNG"][:8], HEADER),
    "GIF's first bytes": (b"GIF89a", HEADER),
    "half a GIF": (READABLE["GIF"][: len(READABLE["GIF"]) // 2], HEADER),
    "no pixels": (png_of(0, 10), HEADER),
    "40000 x 40000 PNG": (png_of(40_000, 40_000), PIXELS),
    "4 billion wide PNG": (png_of(2**32 - 1, 2**32 - 1), PIXELS),
    "65000 x 65000 progressive JPEG": (jpeg_of(65_000, 65_000), PIXELS),
    "65000 x 65000 JPEG": (jpeg_of(65_000, 65_000, 0xC0), PIXELS),
    "GIF of 65000 x 65000 frames": (gif_of(3, 65_000, 65_000), PIXELS),
    "GIF of a 65000 x 65000 screen": (gif_of(1, 8, 8, (65_000, 65_000)), PIXELS),
    "BMP, top row first": (bmp_of(40_000, -40_000), PIXELS),
    "1 x 65000": (encoded(Image.new("RGB", (1, 65_000)), "JPEG"), ASPECT),
    "half a JPEG": (READABLE["JPEG"][: len(READABLE["JPEG"]) // 2], DECODE),
    "half a PNG": (READABLE["PNG"][: len(READABLE["PNG"]) // 2], DECODE),
    "BMP without pixels": (bmp_of(50, 50), DECODE),
    "JPEG's header alone": (jpeg_of(50, 50), DECODE),
}


@pytest.fixture(scope="module")
def decoders():
    """Returns {channels: function of contents that returns (images, codes)}."""

    def decoder(channels):
        def prepare(pixels):
            return for_test(pixels, SIZE)

        spec = tf.TensorSpec((SIZE, SIZE, channels))
        signature = [tf.TensorSpec([None], tf.string)]
        function = tf.function(
            lambda c: decode_all(c, prepare, spec, channels, MAX_BYTES, MAX_PIXELS),
            input_signature=signature,
            autograph=False,
        )
        return lambda contents: [each.numpy() for each in function(tf.constant(contents, tf.string))]

    return {channels: decoder(channels) for channels in (1, 3)}


def test_decode_all_readable_formats(decoders):
    images, codes = decoders[3](list((READABLE | GREY).values()))
    assert codes.tolist() == [OK] * len(READABLE | GREY)
    expected = for_test(tf.constant(np.asarray(PHOTO)), SIZE).numpy()
    gray = for_test(tf.constant(np.asarray(PHOTO.convert("L").convert("RGB"))), SIZE).numpy()
    for name, image in zip(READABLE | GREY, images, strict=True):
        assert np.abs(image - (gray if name in GREY else expected)).max() < (20 if "CMYK" in name else 4), name
    np.testing.assert_array_equal(images[list(READABLE).index("PNG")], expected)


@pytest.mark.slow
def test_decode_all_one_channel(decoders):
    contents = {name: content for name, content in (READABLE | GREY).items() if name != "CMYK JPEG"}
    images, codes = decoders[1](list(contents.values()))
    assert codes.tolist() == [OK] * len(contents)
    expected = for_test(tf.constant(np.asarray(PHOTO.convert("L"))[..., None]), SIZE).numpy()
    for name, image in zip(contents, images, strict=True):
        assert np.abs(image - expected).max() < 4, name


@pytest.mark.parametrize("name", REFUSED)
def test_decode_all_refused_content_code(decoders, name):
    content, code = REFUSED[name]
    images, codes = decoders[3]([READABLE["PNG"], content, READABLE["JPEG"]])
    assert codes.tolist() == [OK, code, OK]
    assert not images[1].any()
    assert images[0].any()
    assert images[2].any()


def test_decode_all_keeps_row_order(decoders):
    """In a large batch of readable and unreadable images, each row equals its result alone."""
    contents = [*(READABLE | GREY).values(), *(content for content, _ in REFUSED.values())] * 3
    order = np.random.RandomState(0).permutation(len(contents))
    images, codes = decoders[3]([contents[i] for i in order])
    alone = [decoders[3]([content]) for content in contents[: len(contents) // 3]]
    for place, i in enumerate(order):
        image, code = alone[i % (len(contents) // 3)]
        assert codes[place] == code[0]
        np.testing.assert_array_equal(images[place], image[0])


def test_decode_all_empty_batch(decoders):
    images, codes = decoders[3]([])
    assert images.shape == (0, SIZE, SIZE, 3)
    assert codes.shape == (0,)


def test_reasons_cover_every_code():
    assert len(reasons(1, 1)) == 8
    assert reasons(1000, 5)[BYTES] == "has more than 1,000 bytes"


WEBP = {
    "lossy WebP": encoded(PHOTO, "WEBP", quality=98),
    "lossless WebP": encoded(PHOTO, "WEBP", lossless=True),
    "WebP with metadata": encoded(PHOTO, "WEBP", exif=b"Exif\0\0"),
}
# The reader without TensorFlow does not search for the next marker, and a GIF's size there is that of its screen.
ONLY_IN_THE_GRAPH = ("JPEG with bytes between its markers", "GIF of 65000 x 65000 frames")


@pytest.fixture(scope="module")
def size_in_graph():
    """Returns a function: content -> (code, format, (height, width)), read inside a TensorFlow graph."""
    function = tf.function(
        lambda c: checked(c, 2**31 - 1, 2**40), input_signature=[tf.TensorSpec((), tf.string)], autograph=False
    )

    def size(content):
        code, kind, _, shape = function(content)
        return int(code), list(SIGNATURES)[int(kind)], tuple(shape.numpy().tolist())

    return size


@pytest.mark.sampled(
    "JPEG",
    "gray PNG",
    "animated GIF",
    "BMP of 32 bits",
    "lossy WebP",
    "half a GIF",
    "PNG's first bytes",
    "65000 x 65000 progressive JPEG",
    "SVG",
    "1 x 65000",
)
@pytest.mark.parametrize("name", READABLE | GREY | WEBP | {n: c for n, (c, _) in REFUSED.items()})
def test_header_readers_agree(size_in_graph, name):
    content = (READABLE | GREY | WEBP | {n: c for n, (c, _) in REFUSED.items()})[name]
    header, (code, kind, size) = read_header(content), size_in_graph(content)
    if name not in REFUSED:
        assert code == OK
    if code not in (EMPTY, FORMAT, HEADER):
        assert (header is None) == (name == "JPEG with bytes between its markers")
        if name not in ONLY_IN_THE_GRAPH:
            assert (header.format, header.height, header.width) == (kind, *size)


@pytest.mark.sampled("progressive JPEG", "JPEG with 120 kB of EXIF and ICC before its frame", "PNG", "lossless WebP")
@pytest.mark.parametrize("name", [*READABLE, *WEBP])
def test_header_readers_agree_on_the_beginning_of_a_file(size_in_graph, name):
    """A file that ends within its header has no size, or the same one, in both."""
    content = (READABLE | WEBP)[name]
    for length in range(0, 400, 3):
        header, (code, kind, size) = read_header(content[:length]), size_in_graph(content[:length])
        if header and code == OK:
            assert (header.format, header.height, header.width) == (kind, *size), length
