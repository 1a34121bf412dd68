"""Image decoding without TensorFlow gives the pixels of training's validation, or nothing."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_resnet.data import transforms
from keras_resnet.data.decode import decode
from keras_resnet.data.header import Header, read_header
from keras_resnet.description import Preprocessing
from keras_resnet.inference import images

PHOTOGRAPHS = load_sample_images().images


def saved(picture, kind, **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def photograph(mode="RGB"):
    return Image.fromarray(PHOTOGRAPHS[0]).convert(mode).resize((213, 142))


def transparent():
    picture = photograph("RGBA")
    picture.putalpha(Image.fromarray(np.arange(142 * 213, dtype=np.uint32).reshape(142, 213).astype(np.uint8)))
    return picture


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    return exif


READ = {
    "jpeg": lambda: saved(photograph(), "JPEG", quality=90),
    "jpeg_of_all_colours": lambda: saved(photograph(), "JPEG", quality=90, subsampling=0),
    "jpeg_progressive": lambda: saved(photograph(), "JPEG", quality=40, progressive=True),
    "jpeg_grey": lambda: saved(photograph("L"), "JPEG"),
    "jpeg_with_an_orientation": lambda: saved(photograph(), "JPEG", exif=rotated()),
    "png": lambda: saved(photograph(), "PNG"),
    "png_grey": lambda: saved(photograph("L"), "PNG"),
    "png_grey_alpha": lambda: saved(photograph("LA"), "PNG"),
    "png_transparent": lambda: saved(transparent(), "PNG"),
    "png_palette": lambda: saved(photograph("P"), "PNG"),
    "png_palette_transparent": lambda: saved(photograph("P"), "PNG", transparency=3),
}
LEFT = {
    "jpeg_cmyk": lambda: saved(photograph("CMYK"), "JPEG"),
    "png_16_bits": lambda: saved(Image.fromarray(np.full((9, 9), 40_000, np.uint16)), "PNG"),
    "png_1_bit": lambda: saved(photograph("1"), "PNG"),
    "gif": lambda: saved(photograph(), "GIF"),
    "bmp": lambda: saved(photograph(), "BMP"),
    "truncated_jpeg": lambda: READ["jpeg"]()[:3000],
    "truncated_png": lambda: READ["png"]()[:3000],
    "strip": lambda: saved(Image.new("RGB", (65, 1)), "PNG"),
    "no_image": lambda: b"no image",
    "empty": lambda: b"",
}


@pytest.mark.sampled("jpeg", "png_palette", "jpeg_grey")
@pytest.mark.parametrize("kind", READ)
def test_decode_color_equals_the_pipeline(kind):
    content = READ[kind]()
    np.testing.assert_array_equal(images.decode_with_pillow(content, 3), decode(tf.constant(content), 3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in READ if "jpeg" in kind or "gray" in kind])
def test_decode_gray_equals_the_pipeline(kind):
    content = READ[kind]()
    np.testing.assert_array_equal(images.decode_with_pillow(content, 1), decode(tf.constant(content), 1))


@pytest.mark.parametrize("kind", LEFT)
def test_decode_leaves_unsupported_images_to_tensorflow(kind):
    assert images.decode_with_pillow(LEFT[kind](), 3) is None


def test_decode_leaves_color_to_gray_conversion_to_tensorflow():
    assert images.decode_with_pillow(READ["png"](), 1) is None


@pytest.mark.sampled("size0-bicubic", "size4-bilinear")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(427, 640), (640, 427), (224, 224), (100, 150), (37, 1000), (256, 300)])
def test_prepare_equals_the_pipeline(size, interpolation):
    pixels = np.asarray(Image.fromarray(PHOTOGRAPHS[1]).resize(size[::-1]))
    for fraction in (0.875, 1.0, 0.95):
        preprocessing = Preprocessing(image_size=224, channels=3, crop_pct=fraction, interpolation=interpolation)
        expected = transforms.prepare(tf.constant(pixels), preprocessing).numpy()
        found = images.prepare_with_pillow(pixels, preprocessing, 224)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.01)  # of 255


@pytest.mark.parametrize("size", [(427, 640), (300, 96), (224, 224), (20, 50)])
def test_letterbox_equals_the_pipeline(size):
    pixels = np.asarray(Image.fromarray(PHOTOGRAPHS[1]).resize(size[::-1]))
    preprocessing = Preprocessing(image_size=224, channels=3, resize="letterbox")
    expected = transforms.prepare(tf.constant(pixels), preprocessing).numpy()
    np.testing.assert_allclose(images.prepare_with_pillow(pixels, preprocessing, 224), expected, atol=0.01)  # of 255


@pytest.mark.parametrize("kind", [kind for kind in READ if "jpeg" in kind])
def test_read_header_of_jpegs(kind):
    content = READ[kind]()
    height, width, channels = tf.image.extract_jpeg_shape(content).numpy().tolist()
    orientation = 6 if "orientation" in kind else 1
    assert read_header(content) == Header("JPEG", height, width, channels, orientation)
    for end in (3, 30):  # cut within the markers
        assert read_header(content[:end]) is None
