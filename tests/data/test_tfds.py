"""Tests the real builders of TensorFlow Datasets on miniature archives, without downloads."""

import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import prepare_cifar10
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.data.decode import decode
from keras_resnet.data.image_set import load_image_set
from keras_resnet.errors import ConfigError, DataError

RANDOM = np.random.RandomState(0)


def jpeg(height, width):
    stream = io.BytesIO()
    Image.fromarray(RANDOM.randint(0, 256, (height, width, 3), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def archive(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def test_tfds_imagenet2012_from_archives(tmp_path):
    """Runs the real builder on three training images of two classes and two validation images."""
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    wnids = tfds.builder("imagenet2012", data_dir=str(tmp_path)).info.features["label"].names[:2]
    train = {
        f"{wnids[0]}.tar": archive({f"{wnids[0]}_1.JPEG": jpeg(40, 60), f"{wnids[0]}_2.JPEG": jpeg(50, 30)}),
        f"{wnids[1]}.tar": archive({f"{wnids[1]}_1.JPEG": jpeg(33, 35)}),
    }
    (manual / "ILSVRC2012_img_train.tar").write_bytes(archive(train))
    for split in ("val", "test"):
        images = archive({f"ILSVRC2012_{split}_0000000{i}.JPEG": jpeg(40, 40) for i in (1, 2)})
        (manual / f"ILSVRC2012_img_{split}.tar").write_bytes(images)
    images = load_image_set(Data(name="tfds:imagenet2012", directory=str(tmp_path)))
    assert images.image_shape == (None, None, 3)
    assert len(images.labels) == 1000
    # Its test images have no labels, and are left out.
    assert {name: split.size for name, split in images.splits.items()} == {"train": 3, "validation": 2}
    split = images.split("train")
    read = [split.read(tf.constant(i, tf.int64)) for i in range(3)]
    assert sorted(int(label) for _, label in read) == [0, 0, 1]
    assert sorted(decode(image, 3).numpy().shape[:2] for image, _ in read) == [(33, 35), (40, 60), (50, 30)]
    assert "imagenet2012-train.tfrecord" in split.source(0)


def test_tfds_cifar10_from_archive(tmp_path):
    """Runs the real builder on files of 4 images."""
    pixels, labels = prepare_cifar10(tmp_path, 4)
    images = load_image_set(Data(name="tfds:cifar10", directory=str(tmp_path / "sets"), validation_fraction=0.1))
    assert images.image_shape == (32, 32, 3)
    assert images.labels[::9] == ("airplane", "truck")
    assert sum(split.size for split in images.splits.values()) == 24
    assert images.split("test").size == 4
    seen = {}
    for split in images.splits.values():
        for i in range(split.size):
            image, label = split.read(tf.constant(i, tf.int64))
            seen[image.numpy().tobytes()] = int(label)
    assert seen == {image.tobytes(): int(label) for image, label in zip(pixels, labels, strict=True)}
    whole = load_image_set(Data(name="tfds:cifar10", directory=str(tmp_path / "sets"), validation_fraction=0))
    assert whole.split("train").size == 20
    assert whole.split("validation").size == 4  # the test images


def test_tfds_unknown_or_unprepared_set_raises(tmp_path):
    with pytest.raises(ConfigError, match=r'data\.name: tfds:cifar: unknown set; did you mean .*"cifar10"'):
        load_image_set(Data(name="tfds:cifar"))
    with pytest.raises(DataError, match=r"is not prepared in .*, and data\.download is false"):
        load_image_set(Data(name="tfds:mnist", directory=str(tmp_path), download=False))
    with pytest.raises(DataError, match=r"data.name: tfds:imagenet2012: cannot be prepared in .*: .*(m|M)anual"):
        load_image_set(Data(name="tfds:imagenet2012", directory=str(tmp_path)))
