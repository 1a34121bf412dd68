"""Tests loading image folders of common layouts and file types."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_resnet.config import Data
from keras_resnet.data.decode import decode, decode_crop
from keras_resnet.data.sources import load_image_set
from keras_resnet.errors import DataError

PIXELS = load_sample_images().images[0][100:196, 200:360]  # 96 x 160 of a photograph


def save(path, image=PIXELS, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).convert(mode).save(path, **options)
    return path


def load(path, **settings):
    return load_image_set(Data(name=f"folder:{path}", **settings))


def test_folder_classes_and_splits_are_inferred(photographs):
    images = load(photographs, validation_fraction=0.2, test_fraction=0.1)
    assert images.labels == ("a flower", "china")
    assert {name: split.size for name, split in images.splits.items()} == {"train": 84, "validation": 24, "test": 12}
    together = [split.source(i) for split in images.splits.values() for i in range(split.size)]
    assert sorted(together) == sorted(map(str, photographs.glob("*/*")))
    for split in images.splits.values():
        assert np.bincount(split.labels).tolist() == [split.size // 2] * 2
        image, label = split.read(tf.constant(0, tf.int64))
        assert images.labels[int(label)] in split.source(0)
        assert image.numpy() == pathlib.Path(split.source(0)).read_bytes()


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid"), ("train", "test"), ("train",)])
def test_folder_split_folder_names(tmp_path, names):
    for split in names:
        for label in ("cat", "dog"):
            for i in range(10):
                save(tmp_path / split / label / f"{i}.png", PIXELS[:8, : 8 + i])
    images = load(tmp_path, validation_fraction=0.1)
    sizes = {name: split.size for name, split in images.splits.items()}
    assert (
        sizes
        == {
            ("train", "val", "test"): {"train": 20, "validation": 20, "test": 20},
            ("Training", "valid"): {"train": 20, "validation": 20},
            ("train", "test"): {"train": 18, "validation": 2, "test": 20},
            ("train",): {"train": 16, "validation": 2, "test": 2},
        }[names]
    )


def test_folder_decodes_every_file_type(tmp_path):
    files = [
        save(tmp_path / "a" / "upper case.JPG", quality=95),
        save(tmp_path / "a" / "nested" / "x.jpeg", quality=95),
        save(tmp_path / "b" / "gray.jpg", mode="L", quality=95),
        save(tmp_path / "b" / "cmyk.jpg", mode="CMYK", quality=95),
        save(tmp_path / "b" / "alpha.png", mode="RGBA"),
        save(tmp_path / "b" / "palette.gif", mode="P"),
        save(tmp_path / "b" / "x.bmp"),
    ]
    (tmp_path / "b" / "notes.txt").write_text("not a picture")
    (tmp_path / "b" / "._x.jpg").write_bytes(b"what macOS leaves")
    (tmp_path / ".hidden").mkdir()
    split = load(tmp_path, validation_fraction=0, test_fraction=0).split("train")
    assert sorted(map(str, files)) == sorted(split.source(i) for i in range(split.size))
    for i in range(split.size):
        pixels = decode(split.read(tf.constant(i, tf.int64))[0], 3).numpy()
        with Image.open(split.source(i)) as image:
            expected = np.asarray(image.convert("RGB"), np.float32)
        assert np.abs(pixels - expected).mean() < 3, split.source(i)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_decode_crop_equals_crop_of_whole_image(tmp_path, suffix):
    content = tf.io.read_file(str(save(tmp_path / f"x.{suffix}")))
    box = tf.constant([13, 21, 30, 47])
    seen = []

    def choose(height, width):
        seen.append((int(height), int(width)))
        return box

    part = decode_crop(content, choose, 3, 30)
    assert seen[-1] == (96, 160)
    # libjpeg interpolates colors over the edge of what it decodes; the last column may differ.
    np.testing.assert_array_equal(part[:, :-1], decode(content, 3)[13:43, 21:67])
    assert part.shape == (30, 47, 3)


def test_folder_unusable_class_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "nowhere")
    save(tmp_path / "train" / "cat" / "x.png")
    with pytest.raises(DataError, match="a folder for each of two or more classes, found 1"):
        load(tmp_path)
    (tmp_path / "train" / "dog").mkdir()
    with pytest.raises(DataError, match='train: class "dog": has no images'):
        load(tmp_path)
    save(tmp_path / "train" / "dog" / "x.png")
    save(tmp_path / "val" / "bird" / "x.png")
    with pytest.raises(DataError, match='validation: class "bird": train does not have this class'):
        load(tmp_path)
