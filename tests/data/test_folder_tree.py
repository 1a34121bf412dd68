"""Tests the folder scan that all commands share, on folders left by notebooks, cameras, archives and network drives."""

import io
import os
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.data.decode import decode
from keras_resnet.data.folder import scan_folder
from keras_resnet.data.prepare import prepare
from keras_resnet.data.requests import decode_all
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.verify import verify
from keras_resnet.errors import DataError

RANDOM = np.random.RandomState(0)


def encoded(kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(RANDOM.randint(0, 256, (5, 7, 3)).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


def make(root, files):
    """Writes {path: bytes, or None for a new PNG}."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encoded() if content is None else content)
    return root


def images(*folders, count=3):
    return {f"{folder}/{i}.png": None for folder in folders for i in range(count)}


def counts(scan):
    return {split: {label: len(paths) for label, paths in classes.items()} for split, classes in scan.splits.items()}


TWO = {"train": {"cat": 3, "dog": 3}}
CASES = {
    "hidden and leftover folders": (
        images("cat", "dog")
        | images("cat/.ipynb_checkpoints", "__MACOSX/cat", "@eaDir", "dog/.AppleDouble", "$RECYCLE.BIN", count=2)
        | {"cat/Thumbs.db": b"x", "cat/._0.png": b"x", "cat/notes.txt": b"x"},
        TWO,
        {
            "hidden folder .ipynb_checkpoints": 2,
            "hidden folder .AppleDouble": 2,
            "folder __MACOSX": 2,
            "folder @eaDir": 2,
            "folder $RECYCLE.BIN": 2,
            "Thumbs.db": 1,
            "hidden file": 1,
            ".txt": 1,
        },
    ),
    "flat test": (images("train/cat", "train/dog", "test"), TWO, {"folder test, without class folders, no split": 3}),
    "kaggle's sets": (images("training_set/cat", "training_set/dog", "test_set/cat", "test_set/dog"), None, {}),
    "capitals": (images("Train/cat", "Train/dog", "VALID/cat", "VALID/dog"), None, {}),
    "a class called train": (
        images("bus", "car", "train"),
        {"train": {"bus": 3, "car": 3, "train": 3}},
        {},
    ),
    "validation lacks a class": (
        images("train/a", "train/b", "train/c", "val/b", "val/c"),
        {"train": {"a": 3, "b": 3, "c": 3}, "validation": {"b": 3, "c": 3}},
        {},
    ),
    "suffixes": (
        {
            "cat/a.jfif": encoded("JPEG"),
            "cat/b.JPE": encoded("JPEG"),
            "cat/c.webp": encoded("WEBP"),
            "cat/d.jpg_large": encoded("JPEG"),
            "cat/e.tif": encoded("TIFF"),
            "cat/f.avif": encoded("AVIF"),
            "cat/f.psd": b"x",
            "cat/g": b"x",
            **images("dog"),
        },
        {"train": {"cat": 6, "dog": 3}},
        {".psd": 1, "no suffix": 1},
    ),
    "a Mac's screenshot": (
        images("cat", "dog") | {"cat/Screenshot 2026-01-02 at 3.04.05\u202fPM.png": None},
        {"train": {"cat": 4, "dog": 3}},
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_scan_folder_splits_classes_and_skipped_files(tmp_path, name):
    files, expected, passed_over = CASES[name]
    scan = scan_folder(str(make(tmp_path, files)))
    assert scan.problems == ()
    if expected is None:
        assert {len(paths) for classes in scan.splits.values() for paths in classes.values()} == {3}
        assert [list(classes) for classes in scan.splits.values()] == [["cat", "dog"]] * 2
        assert next(iter(scan.splits)) == "train"
    else:
        assert counts(scan) == expected
    assert scan.passed_over == passed_over


def test_folder_labels_if_validation_lacks_a_class(tmp_path):
    make(tmp_path, images("train/a", "train/b", "train/c", "val/b", "val/c"))
    split = load_image_set(Data(name=f"folder:{tmp_path}")).split("validation")
    assert split.labels.tolist() == [1, 1, 1, 2, 2, 2]
    for index in range(split.size):
        label = int(split.read(tf.constant(index, tf.int64))[1])
        assert split.source(index).split(os.sep)[-2] == "abc"[label]


def test_scan_folder_empty_split_is_absent(tmp_path):
    make(tmp_path, images("train/cat", "train/dog"))
    (tmp_path / "val" / "cat").mkdir(parents=True)
    scan = scan_folder(str(tmp_path))
    assert counts(scan) == TWO
    assert scan.passed_over == {"folder val, without images, no split": 0}
    assert set(load_image_set(Data(name=f"folder:{tmp_path}", validation_fraction=0.4)).splits) >= {"validation"}


def test_scan_folder_link_loop_is_followed_once(tmp_path):
    make(tmp_path, images("cat", "dog"))
    os.symlink("..", tmp_path / "dog" / "all", target_is_directory=True)
    scan = scan_folder(str(tmp_path))
    assert counts(scan) == TWO
    assert scan.passed_over == {"link to a folder that is read already": 1}


def test_scan_folder_unicode_forms_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    make(tmp_path, images(f"train/{composed}", "train/the", f"val/{decomposed}", "val/the"))
    scan = scan_folder(str(tmp_path))
    assert scan.labels == (composed, "the")
    assert counts(scan)["validation"] == {composed: 3, "the": 3}
    make(tmp_path, images(f"train/{decomposed}"))
    with pytest.raises(DataError, match="that of another folder of train, but for the Unicode form"):
        load_image_set(Data(name=f"folder:{tmp_path}"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (images("train/cat", "train/dog", "val/bird"), 'validation: class "bird": train does not have this class'),
        (images("train/cat", "train/dog", "bus", "car"), "could be read in two ways"),
        (images("archive/cat", "archive/dog"), "for the second, set data.name=folder:"),
        (images("train", "test"), "holds images directly: expected a folder for each class in it"),
        (images("val/cat", "val/dog"), "but no training images: expected a folder train beside it"),
        (images("cat"), "expected a folder for each of two or more classes, found 1"),
        (images("cat", "do\ng"), "its name has a control character"),
        (images("train/cat", "train/dog", "training/cat"), "could each be the train split"),
    ],
)
def test_unusable_folder_is_refused_by_load_verify_and_prepare(tmp_path, files, message):
    data = Data(name=f"folder:{make(tmp_path / 'photos', files)}")
    with pytest.raises(DataError) as caught:
        load_image_set(data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    found = verify(data).findings
    assert any(message in f"{each.split}: {each.source}: {each.what}" for each in found)
    with pytest.raises(DataError) as caught:
        prepare(data, str(tmp_path / "records"))
    assert message in str(caught.value)


def test_non_utf8_name_is_refused_by_load_and_verify(tmp_path):
    make(tmp_path, images("cat", "dog"))
    with open(os.fsencode(tmp_path / "cat") + b"/\xff.png", "wb") as file:
        file.write(encoded())
    data = Data(name=f"folder:{tmp_path}")
    with pytest.raises(DataError, match="its name is not UTF-8"):
        load_image_set(data)
    assert [each.what for each in verify(data).findings] == ["its name is not UTF-8"]


@pytest.mark.parametrize("name", CASES)
def test_verify_accepts_folders_that_training_accepts(tmp_path, name):
    data = Data(name=f"folder:{make(tmp_path, CASES[name][0])}", validation_fraction=0, test_fraction=0)
    trained = load_image_set(data)
    report = verify(data)
    assert [each for each in report.findings if each.kind != "empty class"] == []
    assert report.labels == trained.labels
    assert {split: each.images for split, each in report.splits.items()}.items() <= {
        split: each.size for split, each in trained.splits.items()
    }.items()


def table():
    """Returns {name: (bytes, Pillow's RGB pixels or the text of the error)} of unusual files."""

    def saved(image, kind, **options):
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        return stream.getvalue()

    pixels = RANDOM.randint(0, 256, (12, 9, 3)).astype(np.uint8)
    rgb, alpha = Image.fromarray(pixels), np.full((12, 9, 1), 255, np.uint8)
    alpha[3:6] = 0
    rgba = Image.fromarray(np.concatenate([pixels, alpha], -1))
    deep = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    palette, rotated = rgb.quantize(16), Image.Exif()
    rotated[0x112] = 6
    smooth = Image.fromarray(np.add.outer(np.arange(0, 120, 10), np.arange(0, 90, 10)).astype(np.uint8)).convert("RGB")
    return {
        "jpeg that is to be turned": (
            saved(smooth, "JPEG", quality=98, exif=rotated),
            np.rot90(np.asarray(smooth), -1),
        ),
        "cmyk jpeg": (saved(smooth.convert("CMYK"), "JPEG", quality=98), np.asarray(smooth)),
        "gif": (saved(palette, "GIF"), np.asarray(palette.convert("RGB"))),
        "png": (saved(rgb, "PNG"), pixels),
        "transparent png": (saved(rgba, "PNG"), pixels),
        "palette with transparency": (saved(palette, "PNG", transparency=3), np.asarray(palette.convert("RGB"))),
        "one bit": (saved(rgb.convert("1"), "PNG"), np.asarray(rgb.convert("1").convert("RGB"))),
        "gray with alpha": (saved(rgba.convert("LA"), "PNG"), np.asarray(rgba.convert("L").convert("RGB"))),
        "16 bits": (saved(Image.fromarray(deep), "PNG"), np.repeat((deep // 256)[..., None], 3, -1).astype(np.uint8)),
        "12 bits in 16": (saved(Image.fromarray(deep % 4096), "PNG"), "uses only 0 to 4080 of 65535"),
        "lossless webp": (saved(rgb, "WEBP", lossless=True), pixels),
        "webp with alpha": (saved(rgba, "WEBP", lossless=True, exact=True), pixels),
        "bmp": (saved(rgb, "BMP"), pixels),
        "one pixel": (saved(rgb.crop((0, 0, 1, 1)), "PNG"), pixels[:1, :1]),
        "strip": (saved(Image.fromarray(np.zeros((3, 600, 3), np.uint8)), "PNG"), "more than 64 times as long"),
        "text": (b"<html>404</html>", "is no JPEG"),
    }


TABLE = table()


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_decode_and_decode_all_accept_the_same_files(name):
    content, expected = TABLE[name]
    shape = expected.shape if isinstance(expected, np.ndarray) else (1, 1, 3)

    def to_float(image):
        return tf.ensure_shape(tf.cast(image, tf.float32), shape)

    served, codes = decode_all(tf.constant([content]), to_float, tf.TensorSpec(shape), 3, 10**7, 10**7)
    if isinstance(expected, str):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            decode(tf.constant(content), 3)
        assert expected in str(caught.value.message)
        assert int(codes[0]) != 0
        return
    assert int(codes[0]) == 0
    pixels = decode(tf.constant(content), 3).numpy()
    assert np.abs(pixels.astype(int) - expected).max() <= (6 if "jpeg" in name else 1)
    np.testing.assert_array_equal(served[0].numpy(), pixels)


def test_verify_notes_transparent_and_rotated_images(tmp_path):
    """Only images that are really transparent or rotated are noted; they are no findings, since runs read them."""
    rotated, upright = Image.Exif(), Image.Exif()
    rotated[0x112], upright[0x112] = 6, 1
    stream = {name: io.BytesIO() for name in ("rotated", "upright", "opaque")}
    square = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    square.save(stream["rotated"], "JPEG", exif=rotated)
    square.save(stream["upright"], "JPEG", exif=upright)
    square.convert("RGBA").save(stream["opaque"], "PNG")
    files = {f"cat/{name}.x.{'png' if name == 'opaque' else 'jpg'}": each.getvalue() for name, each in stream.items()}
    files |= {"dog/alpha.png": TABLE["transparent png"][0], "dog/palette.png": TABLE["palette with transparency"][0]}
    report = verify(Data(name=f"folder:{make(tmp_path, files | images('dog', 'cat'))}", validation_fraction=0))
    assert report.findings == []
    found = {note.split(",")[0]: [os.path.basename(path) for path in paths] for note, paths in report.notes.items()}
    assert {note: sorted(names) for note, names in found.items()} == {
        "an EXIF orientation": ["rotated.x.jpg"],
        "transparency": ["alpha.png", "palette.png"],
    }
