"""Finding, reading and preprocessing of image files, and errors for files that are not images."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.description import Preprocessing
from keras_resnet.errors import DataError
from keras_resnet.inference.answers import ImageError
from keras_resnet.inference.images import decoded, find_images, prepared, read_image

PIXELS = np.random.RandomState(0).randint(0, 256, (4, 6, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ("b.PNG", "sub/a.png", "sub/deep/c.png", ".hidden.png", "sub/.git/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(tf.io.encode_png(PIXELS).numpy())
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def names(folder, found):
    return [path.removeprefix(f"{folder}/") for path in found]


def test_find_images_in_folders_patterns_and_files(folder):
    assert names(folder, find_images([str(folder)])) == ["b.PNG", "sub/a.png", "sub/deep/c.png"]
    assert names(folder, find_images([f"{folder}/*"])) == ["b.PNG", "notes.txt"]  # any file type
    assert names(folder, find_images([f"{folder}/**/[ac].png"])) == ["sub/a.png", "sub/deep/c.png"]
    both = find_images([f"{folder}/notes.txt", f"{folder}/b.PNG"])
    assert names(folder, both) == ["notes.txt", "b.PNG"]


def test_find_images_prefers_a_file_name_to_a_pattern(tmp_path):
    (tmp_path / "a[1].png").write_bytes(b"x")
    assert find_images([str(tmp_path / "a[1].png")]) == [str(tmp_path / "a[1].png")]


def test_read_image_names_missing_and_empty_files(folder):
    (folder / "none").mkdir()
    (folder / "zero.png").write_bytes(b"")
    for name, what in {
        "x.png": "cannot be read (No such file or directory)",
        "*.bmp": "matches no file",
        "none": "holds no images",
        "zero.png": "has 0 bytes",
    }.items():
        (path,) = find_images([str(folder / name)])
        fault = read_image(path)
        assert isinstance(fault, ImageError)
        assert fault.what.startswith(what)


def test_read_image_refuses_a_decompression_bomb(tmp_path):
    header = b"\x89PNG\r\n\x1a\n" + bytes([0, 0, 0, 13]) + b"IHDR" + (40_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(header + bytes([8, 2, 0, 0, 0]))
    fault = read_image(str(tmp_path / "bomb.png"))
    assert fault.what == "40000 x 40000 pixels, more than 50000000; not decoded"


def test_decode_channels_and_errors():
    content = tf.io.encode_png(PIXELS).numpy()
    np.testing.assert_array_equal(decoded(content, 3), PIXELS)
    assert decoded(content, 1).shape == (4, 6, 1)
    with pytest.raises(DataError, match="is not a JPEG, PNG, BMP, GIF, WebP, AVIF or TIFF"):
        decoded(b"no image", 3)
    with pytest.raises(DataError, match="is a damaged PNG"):
        decoded(content[:60], 3)


def test_prepare_crops_the_center():
    """4 x 6 becomes 4 x 4 without resizing: columns 1 to 4."""
    image = prepared(PIXELS, Preprocessing(crop_pct=1.0), 4)
    np.testing.assert_array_equal(image, PIXELS[:, 1:5].astype(np.float32))


def test_prepare_uses_crop_pct_and_interpolation():
    kinds = [Preprocessing(), Preprocessing(crop_pct=1.0), Preprocessing(interpolation="bicubic")]
    images = [prepared(np.kron(PIXELS, np.ones((8, 8, 1), np.uint8)), kind, 14) for kind in kinds]
    assert all(image.shape == (14, 14, 3) for image in images)
    assert np.abs(images[0] - images[1]).max() > 1
    assert np.abs(images[0] - images[2]).max() > 1
