"""Tests that prepared records have the folder's images: the same labels, splits and, unless resized, bytes."""

import functools
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_resnet.config import Data
from keras_resnet.data.decode import decode
from keras_resnet.data.folder import load_folder
from keras_resnet.data.header import read_header
from keras_resnet.data.prepare import convert, prepare
from keras_resnet.data.tfrecord import load_tfrecord
from keras_resnet.errors import ConfigError, DataError, DiskError

samples = functools.cache(lambda: load_sample_images().images)


def photo(number, size=(120, 90)):
    """Returns a part of one of scikit-learn's two photographs, different for each number; size is (width, height)."""
    top, left = 7 * (number // 2) % 300, 13 * (number // 2) % 500
    return Image.fromarray(samples()[number % 2]).crop((left, top, left + 120, top + 90)).resize(size)


@pytest.fixture
def photos(tmp_path):
    """Returns a folder of two classes without splits, in common file types."""
    folder = tmp_path / "photos"
    for number, label in enumerate(("a flower", "temple")):
        (folder / label).mkdir(parents=True)
        for i in range(20):
            photo(2 * i + number).save(folder / label / f"{i:02d}.jpg")
    photo(101, (90, 200)).save(folder / "a flower/in capitals.JPG", "JPEG")
    photo(102, (50, 40)).convert("L").save(folder / "a flower/gray.jpeg")
    photo(103, (50, 40)).convert("CMYK").save(folder / "temple/cmyk.jpg")
    rgba = photo(104, (50, 40))
    rgba.putalpha(Image.linear_gradient("L").resize((50, 40)))
    rgba.save(folder / "temple/alpha.png")
    photo(105, (50, 40)).save(folder / "temple/small.png")
    photo(106, (300, 5)).save(folder / "temple/wide.bmp")
    photo(107, (50, 40)).save(folder / "temple/a.gif")
    return folder


def data(folder, **settings):
    return Data(name=f"folder:{folder}", **settings)


def features(output):
    """Returns {split: [each example as a dictionary]} in the order of the files."""
    found = {}
    for path in sorted(output.glob("*-of-*")):
        for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            example = tf.train.Example.FromString(raw).features.feature
            values = {name: (each.bytes_list.value or each.int64_list.value)[0] for name, each in example.items()}
            found.setdefault(path.name.split("-")[0], []).append(values)
    return found


def by_name(images, folder):
    """Returns {split: {image path: (bytes, label)}} of a folder."""
    return {
        name: {
            os.path.relpath(split.source(i), folder): (Path(split.source(i)).read_bytes(), int(split.labels[i]))
            for i in range(split.size)
        }
        for name, split in images.splits.items()
    }


def test_prepare_round_trip(photos, tmp_path):
    output = tmp_path / "records"
    prepared = prepare(data(photos), str(output), shard_bytes=20_000)
    original, loaded = load_folder(data(photos)), load_tfrecord(Data(name=f"tfrecord:{output}"))
    assert loaded.labels == original.labels == ("a flower", "temple")
    pictures, examples = by_name(original, photos), features(output)
    for name, split in loaded.splits.items():
        assert split.size == original.splits[name].size == prepared.images[name]
        names = [each["image/filename"].decode() for each in examples[name]]
        assert set(names) == set(pictures[name])  # the same held-out files
        for i, file in enumerate(names):
            content, label = split.read(tf.constant(i, tf.int64))
            assert (content.numpy(), int(label)) == pictures[name][file]
    assert prepared.skipped == 0
    assert prepared.bytes_before == sum(path.stat().st_size for path in photos.rglob("*.*"))
    assert prepared.bytes_after == sum(path.stat().st_size for path in output.glob("*-of-*"))


def test_prepare_files_follow_imagenet_layout(photos, tmp_path):
    prepared = prepare(data(photos), str(tmp_path / "records"), shard_bytes=20_000)
    names = sorted(path.name for path in (tmp_path / "records").iterdir())
    train = [name for name in names if name.startswith("train")]
    assert len(train) > 3
    assert train == [f"train-{i:05d}-of-{len(train):05d}" for i in range(len(train))]
    assert len(names) - 1 == prepared.files
    assert set(names) - set(train) == {"labels.txt", "test-00000-of-00001", "validation-00000-of-00001"}
    for name in train[:-1]:  # a file ends with the picture that fills it
        assert 20_000 <= (tmp_path / "records" / name).stat().st_size < 50_000
    example = features(tmp_path / "records")["train"][0]
    assert set(example) == {
        "image/encoded",
        "image/format",
        "image/class/label",
        "image/class/text",
        "image/filename",
        "image/height",
        "image/width",
    }
    assert example["image/class/text"].decode() == ("a flower", "temple")[example["image/class/label"] - 1]
    assert example["image/filename"].decode().split("/")[0] == example["image/class/text"].decode()


def test_prepare_shuffles_training_records_deterministically(photos, tmp_path):
    for name in ("first", "second"):
        prepare(data(photos), str(tmp_path / name))
    first, second = (features(tmp_path / name)["train"] for name in ("first", "second"))
    assert first == second
    labels = [each["image/class/label"] for each in first]
    assert labels != sorted(labels)
    assert np.abs(np.diff(labels)).sum() > 5


def test_prepare_keeps_folder_splits(tmp_path):
    for i, split in enumerate(("train", "val")):
        for j, label in enumerate("ab"):
            (tmp_path / "photos" / split / label).mkdir(parents=True)
            photo(2 * i + j).save(tmp_path / "photos" / split / label / "1.png")
    prepared = prepare(data(tmp_path / "photos"), str(tmp_path / "records"))
    assert prepared.images == {"train": 2, "validation": 2}
    loaded = load_tfrecord(Data(name=f"tfrecord:{tmp_path / 'records'}"))
    assert {name: split.size for name, split in loaded.splits.items()} == {"train": 2, "validation": 2}


@pytest.mark.parametrize(
    ("fractions", "written"),
    [((0.1, 0.0), ["train", "validation"]), ((0.0, 0.1), ["train", "test"]), ((0.0, 0.0), ["train"])],
)
def test_prepare_writes_no_image_twice(photos, tmp_path, fractions, written):
    """If no validation images are held out, validation reads the test or the training images."""
    settings = {"validation_fraction": fractions[0], "test_fraction": fractions[1]}
    prepared = prepare(data(photos, **settings), str(tmp_path / "records"))
    assert list(prepared.images) == written
    assert sum(prepared.images.values()) == 47
    loaded = load_tfrecord(Data(name=f"tfrecord:{tmp_path / 'records'}", **settings))
    original = load_folder(data(photos, **settings))
    assert {name: split.size for name, split in loaded.splits.items()} == {
        name: split.size for name, split in original.splits.items()
    }


def test_prepare_max_side_resizes_and_converts(photos, tmp_path):
    output = tmp_path / "records"
    prepared = prepare(data(photos), str(output), max_side=64)
    assert prepared.bytes_after < prepared.bytes_before
    examples = [each for split in features(output).values() for each in split]
    assert len(examples) == 47
    for each in examples:
        original = Image.open(photos / each["image/filename"].decode())
        stored = Image.open(io.BytesIO(each["image/encoded"]))
        assert stored.size == (each["image/width"], each["image/height"])
        assert stored.format == each["image/format"].decode()
        scale = min(1, 64 / max(original.size))
        assert stored.size == tuple(max(1, round(side * scale)) for side in original.size)
    by_file = {each["image/filename"].decode(): each for each in examples}
    for name in ("a flower/gray.jpeg", "temple/small.png"):  # small and plain already
        assert by_file[name]["image/encoded"] == (photos / name).read_bytes()
    for name in ("temple/cmyk.jpg", "temple/alpha.png", "temple/wide.bmp", "temple/a.gif", "a flower/in capitals.JPG"):
        stored = Image.open(io.BytesIO(by_file[name]["image/encoded"]))
        assert (stored.format, stored.mode) == ("JPEG", "RGB")


def save(picture, *arguments, **options):
    stream = io.BytesIO()
    picture.save(stream, *arguments, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["cmyk", "alpha", "palette", "deep"])
def test_convert_colors_equal_training_decode(kind):
    picture = photo(4)
    if kind == "deep":  # 16 bits a channel, which Pillow would clip
        content = tf.io.encode_png(tf.cast(np.asarray(picture), tf.uint16) * 257).numpy()
    elif kind == "alpha":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        content = save(picture, "PNG")
    elif kind == "palette":
        content = save(picture.quantize(200), "GIF")
    else:
        content = save(picture.convert("CMYK"), "JPEG", quality=95)
    seen = decode(tf.constant(content), 3).numpy()
    stored, header = convert(content, 60, 95)
    assert (header.height, header.width) == (45, 60)
    small = Image.fromarray(seen).resize((60, 45), Image.Resampling.LANCZOS)
    difference = decode(tf.constant(stored), 3).numpy().astype(int) - np.asarray(small).astype(int)
    assert np.abs(difference).mean() < 5
    assert np.asarray(small).std() > 15  # a picture, not a black square


def test_convert_keeps_gray_and_applies_quality():
    content = save(photo(5).convert("L"), "JPEG")
    stored, header = convert(content, 60, 90)
    assert header.channels == read_header(stored).channels == 1
    assert len(convert(content, 60, 30)[0]) < len(stored)


def test_convert_keeps_side_of_one_pixel():
    assert convert(save(photo(6, (63, 1)), "PNG"), 30, 90)[1].height == 1


def broken(photos):
    """Makes three images unreadable and returns {path: error}."""
    cut = photos / "temple/05.jpg"
    cut.write_bytes(cut.read_bytes()[:-700])
    (photos / "a flower/07.jpg").write_bytes(b"")
    Image.new("1", (20000, 20000)).save(photos / "temple/alpha.png")
    return {
        cut: "is a truncated or damaged JPEG",
        photos / "a flower/07.jpg": "has 0 bytes",
        photos / "temple/alpha.png": "20000 x 20000 pixels are more than 50000000",
    }


@pytest.mark.slow
def test_prepare_unreadable_image_raises(photos, tmp_path):
    faults = broken(photos)
    with pytest.raises(DataError, match="--on_unreadable_image=skip skips unreadable images") as caught:
        prepare(data(photos), str(tmp_path / "records"))
    assert any(str(caught.value).startswith(f"{path}: {what}") for path, what in faults.items())
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.slow
def test_prepare_skips_unreadable_images(photos, tmp_path):
    held_out = by_name(load_folder(data(photos)), photos)
    faults, lines = broken(photos), []
    prepared = prepare(data(photos, on_unreadable_image="skip"), str(tmp_path / "records"), warn=lines.append)
    assert prepared.skipped == 3
    assert sum(prepared.images.values()) == 47 - 3
    assert sorted(lines) == sorted(f"skipped: {path}: {what}" for path, what in faults.items())
    unreadable = {os.path.relpath(path, photos) for path in faults}
    for name, examples in features(tmp_path / "records").items():
        files = {each["image/filename"].decode() for each in examples}
        assert files == set(held_out[name]) - unreadable


def test_prepare_without_readable_training_images_raises(tmp_path):
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / "1.jpg").write_text("no picture")
    with pytest.raises(DataError, match="no image is left to train on"):
        prepare(data(tmp_path / "photos", on_unreadable_image="skip"), str(tmp_path / "records"))
    assert not (tmp_path / "records").exists()


def test_prepare_control_character_in_class_name_raises(tmp_path):
    for label in ("a", "b\nc"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        photo(1).save(tmp_path / "photos" / label / "1.jpg")
    with pytest.raises(DataError, match="its name has a control character"):
        prepare(data(tmp_path / "photos"), str(tmp_path / "records"))


def test_prepare_unusable_output_folder_raises(photos, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(ConfigError, match=f"{name}: already exists and is not an empty folder; name another"):
            prepare(data(photos), str(tmp_path / name))
    with pytest.raises(ConfigError, match="lies inside"):
        prepare(data(photos), str(photos / "records"))
    with pytest.raises(DiskError, match=r"records: cannot be written \(Not a directory\)"):
        prepare(data(photos), str(tmp_path / "file/records"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full", "photos"]
    (tmp_path / "empty").mkdir()
    prepare(data(photos), str(tmp_path / "empty"))
    assert (tmp_path / "empty/labels.txt").read_text() == "a flower\ntemple\n"


def test_prepare_interrupt_leaves_no_files(photos, tmp_path):
    def interrupted(pictures, total):
        for i, each in enumerate(pictures):
            if i == 10:
                staging = [path.name for path in tmp_path.iterdir() if path.name != "photos"]
                assert re.fullmatch(rf"records\.tmp-{os.getpid()}", *staging)
                raise KeyboardInterrupt
            yield each

    with pytest.raises(KeyboardInterrupt):
        prepare(data(photos), str(tmp_path / "records"), track=interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
