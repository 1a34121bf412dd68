"""The EXIF orientation of a JPEG is applied wherever images are decoded; damaged EXIF data changes nothing."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_resnet.data.decode import decode, decode_crop, image_size
from keras_resnet.data.header import read_header
from keras_resnet.data.orientation import exif_orientation
from keras_resnet.data.prepare import convert
from keras_resnet.data.requests import decode_all
from keras_resnet.inference.images import decode_with_pillow

# Blocks of one color, which JPEG stores exactly: 24 x 40 pixels, no two blocks are equal.
UPRIGHT = np.kron(np.random.RandomState(0).permutation(15 * 3).reshape(3, 5, 3) * 5, np.ones((8, 8, 1))).astype(
    np.uint8
)
# How viewers see row 0 and column 0 of the stored image (EXIF 2.3, section 4.6.4 A); here the other way round.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: UPRIGHT.transpose(1, 0, 2)[::-1],
    7: UPRIGHT.transpose(1, 0, 2)[::-1, ::-1],
    8: UPRIGHT.transpose(1, 0, 2)[:, ::-1],
}
JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def entry(order, tag, kind, count, value):
    return struct.pack(order + "HHIHH", tag, kind, count, value, 0)


def exif(orientation, order="<", kind=3, count=1, entries=None, start=None, before=b""):
    """Returns an APP1 segment with three entries, of which the second is the orientation."""
    rows = entry(order, 0x10F, 2, 2, 65) + entry(order, 0x112, kind, count, orientation) + entry(order, 0x128, 3, 1, 6)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8 + len(before) if start is None else start)
    directory = struct.pack(order + "H", 3 if entries is None else entries) + rows + bytes(4)
    return segment(b"Exif\0\0" + head + before + directory)


def segment(content, marker=b"\xff\xe1"):
    return marker + struct.pack(">H", 2 + len(content)) + content


OTHER = (
    segment(b"http://ns.adobe.com/xap/1.0/\0"),
    segment(b"Exif", b"\xff\xfe"),
    segment(b"\xff\xc0" * 99, b"\xff\xe2"),
)


def jpeg(pixels, *segments):
    """Returns a JPEG that has these segments instead of libjpeg's own."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=98, **({} if pixels.ndim == 2 else {"subsampling": 0}))
    content = stream.getvalue()
    assert content[2:20] == JFIF
    return content[:2] + b"".join(segments) + content[20:]


@pytest.fixture(scope="module")
def read():
    """Returns `exif_orientation` as a graph."""
    graph = tf.function(exif_orientation, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    return lambda content: int(graph(content))


def test_eight_orientations_give_one_upright_image():
    """In the graph, whole and in part, without TensorFlow, and as Pillow turns them."""
    plain = decode(tf.constant(jpeg(UPRIGHT, JFIF)), 3).numpy()
    assert np.abs(plain.astype(int) - UPRIGHT).max() <= 2
    contents = {k: jpeg(stored, JFIF, exif(k, "<>"[k % 2])) for k, stored in STORED.items()}
    crop = tf.function(
        lambda content: decode_crop(content, lambda height, width: tf.stack([3, 7, height - 5, width - 9]), 3, 24),
        input_signature=[tf.TensorSpec((), tf.string)],
        autograph=False,
    )
    for k, content in contents.items():
        assert read_header(content).orientation == k
        assert read_header(content).upright_size == tuple(image_size(tf.constant(content)).numpy()) == (24, 40)
        np.testing.assert_array_equal(decode(tf.constant(content), 3), plain, str(k))
        np.testing.assert_array_equal(decode_with_pillow(content, 3), plain, str(k))
        np.testing.assert_array_equal(crop(content), plain[3:22, 7:38], str(k))
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(ImageOps.exif_transpose(image), plain, str(k))


@pytest.mark.slow
def test_decode_all_turns_images():
    plain = decode(tf.constant(jpeg(UPRIGHT, JFIF)), 3).numpy()
    contents = [jpeg(stored, JFIF, exif(k)) for k, stored in STORED.items()]
    images, codes = decode_all(
        tf.constant(contents), tf.identity, tf.TensorSpec((24, 40, 3), tf.uint8), 3, 10**6, 10**6
    )
    assert codes.numpy().tolist() == [0] * 8
    np.testing.assert_array_equal(images, np.stack([plain] * 8))


@pytest.mark.slow
@pytest.mark.parametrize("k", STORED)
def test_gray_images_and_smaller_parts_are_turned(k):
    gray = [jpeg(np.ascontiguousarray(STORED[n][..., 0]), exif(n)) for n in (1, k)]
    one, other = (decode(tf.constant(content), 1).numpy() for content in gray)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(decode_with_pillow(gray[1], 1), one)
    large = [jpeg(np.kron(STORED[n], np.ones((8, 8, 1), np.uint8)), exif(n)) for n in (1, k)]
    parts = [decode_crop(tf.constant(c), lambda h, w: tf.constant([16, 64, 128, 240]), 3, 32).numpy() for c in large]
    assert parts[0].shape == (32, 60, 3)  # a quarter
    np.testing.assert_array_equal(parts[0], parts[1])


PLACES = {
    "first": (exif(6),),
    "after JFIF": (JFIF, exif(6, ">")),
    "after other segments that name EXIF": (JFIF, *OTHER, segment(bytes(65533), b"\xff\xe2"), exif(6)),
    "after bytes without a marker": (JFIF, b"\xff\xff\xff\x01ab", exif(6)),
    "before a second one": (exif(6), exif(3)),
    "directory at the end": (exif(6, before=bytes(40_000)),),
    "more entries than there are": (exif(6, entries=9),),
}


@pytest.mark.parametrize("name", PLACES)
def test_orientation_is_read_wherever_exif_data_may_be(read, name):
    content = jpeg(STORED[6], *PLACES[name])
    assert read(content) == 6
    if "without a marker" not in name:  # TensorFlow decodes these for both
        assert read_header(content).orientation == 6


WRONG = {
    "0": exif(0),
    "9": exif(9),
    "256 times 6": exif(6 * 256),
    "of another type": exif(6, kind=4),
    "two numbers": exif(6, count=2),
    "65536 numbers": exif(6, count=2**16),
    "65536 numbers, big-endian": exif(6, ">", count=2**16),
    "no number": exif(6, count=0),
    "directory without entries": exif(6, entries=0),
    "directory that ends before the orientation": exif(6, entries=1),
    "directory behind the segment": exif(6, start=80),
    "directory far outside": exif(6, start=2**31 - 1),
    "directory at a negative place": exif(6, start=2**32 - 1),
    "directory in the header": exif(6, start=2),
    "directory over the end of the segment": exif(6, start=51, entries=2),
    "no TIFF header": segment(b"Exif\0\0" + b"IM*\0" + exif(6)[14:]),
    "another byte order than it says": segment(b"Exif\0\0" + b"MM\0*" + exif(6)[14:]),
    "no EXIF data": segment(b"Exif\0\0"),
    "shorter than its name": b"\xff\xe1\0\4Exif\0\0",
    "cut off in the orientation": segment(exif(6)[4:34]),
    "no EXIF segment": segment(exif(6)[4:], b"\xff\xe3"),
    "lower case": segment(b"exif\0\0" + exif(6)[10:]),
    "a second one behind a damaged one": exif(9) + exif(6),
}


@pytest.mark.parametrize("name", WRONG)
def test_orientation_that_is_not_valid_changes_nothing(read, name):
    content = jpeg(STORED[1], JFIF, WRONG[name])
    assert read(content) == 1
    header = read_header(content)
    assert (header is None and name == "shorter than its name") or header.orientation == 1


def test_exif_data_behind_the_frame_header_is_not_read(read):
    content = jpeg(STORED[1], JFIF)
    scan = content.index(b"\xff\xda")
    content = content[:scan] + exif(6) + content[scan:]
    assert read(content) == read_header(content).orientation == 1


def test_readers_agree_on_damaged_and_truncated_exif_data(read):
    random, seen = np.random.RandomState(0), set()
    for order in "<>":
        whole = jpeg(STORED[6], JFIF, exif(6, order))
        for length in range(20, 100, 3):
            assert read(whole[:length]) in (1, 6)
        for _ in range(150):
            damaged = bytearray(whole)
            damaged[random.randint(20, 92)] = random.choice([0, 1, 3, 8, random.randint(256), 255])
            header = read_header(bytes(damaged))
            if header:
                assert read(bytes(damaged)) == header.orientation
                seen.add(header.orientation)
    assert seen >= {1, 6, 8}


def test_images_of_other_formats_are_not_turned():
    tags = Image.Exif()
    tags[0x112] = 6
    for kind in ("PNG", "WEBP"):
        stream = io.BytesIO()
        Image.fromarray(UPRIGHT).save(stream, kind, lossless=True, exif=tags)
        np.testing.assert_array_equal(decode(tf.constant(stream.getvalue()), 3), UPRIGHT)


def test_convert_keeps_exif_with_kept_bytes_and_writes_upright_images_without():
    content = jpeg(STORED[6], JFIF, exif(6))
    kept, header = convert(content, 40, 90)
    assert kept == content
    assert (header.height, header.width) == (40, 24)  # of the stored image, as readers of records expect
    small, header = convert(content, 20, 90)
    assert (header.height, header.width) == (12, 20)
    assert read_header(small).orientation == 1
    assert b"Exif" not in small
    with Image.open(io.BytesIO(small)) as image:
        expected = Image.fromarray(UPRIGHT).resize((20, 12), Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(image, int) - np.asarray(expected)).mean() < 20


@pytest.mark.slow
def test_exported_saved_model_turns_images(finished_export):
    answer = tf.saved_model.load(str(finished_export / "1")).signatures["serving_default"]
    found = answer(image_bytes=tf.constant([jpeg(stored, JFIF, exif(k)) for k, stored in STORED.items()]))
    assert set(found["status"].numpy()) == {b"OK"}
    np.testing.assert_allclose(found["scores"], np.stack([found["scores"][0]] * 8), atol=1e-5)
    lying = answer(image_bytes=tf.constant([jpeg(STORED[6], JFIF)]))
    assert np.abs(lying["scores"][0] - found["scores"][0]).max() > 1e-3
