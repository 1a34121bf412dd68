"""Tests that verify finds every kind of fault in a data set and names the file."""

import functools
import io
import struct
from pathlib import Path

import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_resnet.config import Data
from keras_resnet.data import header as header_file
from keras_resnet.data.folder import load_folder
from keras_resnet.data.threads import map_in_threads
from keras_resnet.data.verify import verify
from keras_resnet.errors import DataError

samples = functools.cache(lambda: load_sample_images().images)


def photo(number, size=(60, 44)):
    """Returns a part of one of scikit-learn's two photographs, different for each number; size is (width, height)."""
    top, left = 7 * (number // 2) % 300, 13 * (number // 2) % 500
    return Image.fromarray(samples()[number % 2]).crop((left, top, left + 100, top + 80)).resize(size)


def jpeg(picture, **options):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.fixture
def photos(tmp_path):
    """Returns a folder of three splits of two classes, in common file types."""
    number = 0
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for label in ("a flower", "temple"):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                (folder / f"{i}.jpg").write_bytes(jpeg(photo(number)))
                number += 1
    train = tmp_path / "photos/train"
    photo(101).save(train / "a flower/in capitals.JPG", "JPEG")
    photo(102).convert("L").save(train / "a flower/gray.jpeg")
    photo(103).convert("CMYK").save(train / "temple/cmyk.jpg")
    rgba = photo(104, (30, 90))
    rgba.putalpha(100)
    rgba.save(train / "temple/alpha.png")
    photo(105).save(train / "temple/a.bmp")
    photo(106).save(train / "temple/a.gif")
    return tmp_path / "photos"


def check(path, **data):
    return verify(Data(name=f"folder:{path}", **data))


def found(report):
    return [(finding.kind, finding.split, finding.source.rsplit("/", 1)[-1]) for finding in report.findings]


def test_verify_valid_folder_report(photos):
    report = check(photos)
    assert report.findings == []
    assert report.labels == ("a flower", "temple")
    train = report.splits["train"]
    assert (train.images, train.classes, train.class_counts) == (18, 2, (8, 10))
    assert train.sizes == [(44, 60), (44, 60), (90, 30)]  # by area: 90 x 30 is the largest
    assert {name: split.images for name, split in report.splits.items()} == {"train": 18, "validation": 4, "test": 4}


def test_verify_digits_finds_nothing():
    report = verify(Data(name="digits"))
    assert report.findings == []
    assert sum(split.images for split in report.splits.values()) == 1797
    assert report.splits["test"].sizes == [(8, 8)] * 3


def _truncated(folder):
    path = folder / "train/temple/0.jpg"
    path.write_bytes(path.read_bytes()[:-400])
    return ("damaged", "train", "0.jpg"), "truncated or damaged JPEG"


def _damaged_png(folder):
    path = folder / "train/temple/alpha.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    return ("damaged", "train", "alpha.png"), "damaged PNG"


def _empty(folder):
    (folder / "val/temple/1.jpg").write_bytes(b"")
    return ("empty", "validation", "1.jpg"), "has 0 bytes"


def _text(folder):
    (folder / "test/a flower/0.jpg").write_text("<html>404 Not Found</html>")
    return ("unreadable", "test", "0.jpg"), "is not a JPEG, PNG, BMP, GIF, WebP, AVIF or TIFF"


def _dangling_link(folder):
    (folder / "train/temple/link.jpg").symlink_to(folder / "nowhere.jpg")
    return ("unreadable", "train", "link.jpg"), "is not there any more"


def _not_utf8(folder):
    (folder / "train/temple/caf\udce9.jpg").write_bytes(jpeg(photo(120)))
    return ("unreadable", "train", "caf\ufffd.jpg"), "its name is not UTF-8"


def _huge(folder):
    Image.new("1", (20000, 20000)).save(folder / "train/a flower/huge.png")
    assert (folder / "train/a flower/huge.png").stat().st_size < 100_000
    return ("too large", "train", "huge.png"), "20000 x 20000 pixels"


def _duplicate(folder):
    (folder / "test/temple/copy.jpg").write_bytes((folder / "train/temple/3.jpg").read_bytes())
    return ("duplicate", "test", "copy.jpg"), "train/temple/3.jpg of train"


def _two_labels(folder):
    (folder / "train/temple/copy.jpg").write_bytes((folder / "train/a flower/3.jpg").read_bytes())
    return ("two labels", "train", "copy.jpg"), 'is labeled "temple", but "a flower" as '


def _empty_class(folder):
    (folder / "train/zebra").mkdir()
    return ("empty class", "train", 'class "zebra"'), "has no images"


def _unknown_class(folder):
    (folder / "val/lion").mkdir()
    (folder / "val/lion/1.jpg").write_bytes(jpeg(photo(130)))
    return ("unknown class", "validation", 'class "lion"'), "train does not have this class"


FAULTS = [
    _truncated,
    _damaged_png,
    _empty,
    _text,
    _dangling_link,
    _not_utf8,
    _huge,
    _duplicate,
    _two_labels,
    _empty_class,
    _unknown_class,
]


@pytest.mark.sampled("_truncated", "_empty", "_not_utf8", "_huge", "_two_labels")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_verify_folder_single_fault(photos, fault):
    expected, what = fault(photos)
    report = check(photos)
    # A class of one split is also missing in the other splits, and each has a finding.
    findings = [each for each in report.findings if each.kind != "empty class" or each.split == "train"]
    assert len(findings) == 1
    assert found(report)[report.findings.index(findings[0])] == expected
    assert what in findings[0].what


@pytest.mark.slow
def test_verify_folder_all_faults_together(photos):
    expected = [fault(photos)[0] for fault in FAULTS]
    assert set(expected) <= set(found(check(photos)))


def test_verify_max_pixels_sets_size_limit(photos):
    report = verify(Data(name=f"folder:{photos}"), max_pixels=44 * 60)
    assert found(report) == [("too large", "train", "alpha.png")]


@pytest.mark.slow
def test_verify_does_not_decode_too_large_image(photos, monkeypatch):
    """Decoding the image would take 1.2 GB."""
    decoded = []

    def counting(image, channels, exif):
        decoded.append(int(tf.strings.length(image)))
        return tf.zeros((1, 1, 3), tf.uint8)

    monkeypatch.setattr("keras_resnet.data.verify.decode", counting)
    _huge(photos)
    check(photos)
    assert len(decoded) == 26
    assert (photos / "train/a flower/huge.png").stat().st_size not in decoded


def test_verify_folder_without_data_set(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        check(tmp_path / "nothing")
    (tmp_path / "one").mkdir()
    report = check(tmp_path)
    assert found(report)[0][0] == "wrong layout"
    assert ("empty class", "train", 'class "one"') in found(report)


def test_verify_scans_held_out_images_once_and_finds_duplicates(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(10):
            (tmp_path / label / f"{i}.jpg").write_bytes(jpeg(photo(20 * (label == "b") + i)))
    held = load_folder(Data(name=f"folder:{tmp_path}")).split("test").source(0)
    assert check(tmp_path).findings == []
    again = check(tmp_path, validation_fraction=0, test_fraction=0)  # validation is then train
    assert again.findings == []
    assert list(again.splits) == ["train"]
    content = Path(held).read_bytes()
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(content)  # the names, and so the parts, stay the same
    kinds = [kind for kind, _, _ in found(check(tmp_path))]
    assert kinds == ["duplicate"] * 2  # one in test, one in validation


def record(content, label):
    features = tf.train.Features(
        feature={
            "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[content])),
            "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        }
    )
    return tf.train.Example(features=features).SerializeToString()


@pytest.fixture
def records(tmp_path):
    """Returns a folder of two training files and one file for each other split, with labels 1 and 2."""
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "labels.txt").write_text("flower\ntemple\n")
    number = 0
    for name in ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test-00000-of-00001"):
        examples = [record(jpeg(photo(number + i)), 1 + i % 2) for i in range(4)]
        number += 4
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for example in examples:
                writer.write(example)
    return folder


def check_records(folder):
    return verify(Data(name=f"tfrecord:{folder}"))


def test_verify_valid_records_finds_nothing(records):
    report = check_records(records)
    assert report.findings == []
    assert {name: split.images for name, split in report.splits.items()} == {"train": 8, "validation": 4, "test": 4}


def test_verify_flipped_byte_in_record(records):
    path = records / "train-00001-of-00002"
    content = bytearray(path.read_bytes())
    first = struct.unpack("<Q", content[:8])[0] + 16
    content[first + 300] ^= 1
    path.write_bytes(content)
    report = check_records(records)
    assert found(report) == [("damaged", "train", "train-00001-of-00002, record 1")]
    assert "checksum" in report.findings[0].what


def test_verify_truncated_record_files_are_named(records):
    for name in ("train-00000-of-00002", "test-00000-of-00001"):
        path = records / name
        path.write_bytes(path.read_bytes()[:-10])
    (records / "validation-00000-of-00001").write_bytes(b"")
    report = check_records(records)
    assert found(report) == [
        ("broken file", "train", "train-00000-of-00002"),
        ("empty", "validation", "validation-00000-of-00001"),
        ("broken file", "test", "test-00000-of-00001"),
    ]
    assert "ends within record 3" in report.findings[0].what
    assert report.splits["train"].images == 4


@pytest.mark.parametrize("label", [99, 3, 0])
def test_verify_label_out_of_range(records, label):
    with tf.io.TFRecordWriter(str(records / "test-00000-of-00001")) as writer:
        for i, each in enumerate((1, label, 2)):
            writer.write(record(jpeg(photo(60 + i)), each))
    report = check_records(records)
    assert found(report) == [("wrong label", "test", "test-00000-of-00001, record 1")]
    assert report.findings[0].what == f"its label is {label}; expected 1 to 2"


def test_verify_record_without_image(records):
    with tf.io.TFRecordWriter(str(records / "test-00000-of-00001")) as writer:
        writer.write(record(jpeg(photo(60)), 1))
        writer.write(record(jpeg(photo(61)), 2))
        writer.write(tf.train.Example().SerializeToString())
    report = check_records(records)
    assert found(report) == [("unreadable", "test", "test-00000-of-00001, record 2")]
    assert "Feature: image/" in report.findings[0].what


def test_verify_folder_without_records_raises(tmp_path):
    with pytest.raises(DataError, match="no files"):
        check_records(tmp_path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_read_header_equals_pillow(format, mode):
    stream = io.BytesIO()
    photo(3, (31, 17)).convert(mode).save(stream, format)
    header = header_file.read_header(stream.getvalue())
    assert (header.format, header.height, header.width) == (format, 17, 31)
    if format in ("JPEG", "PNG"):
        assert header.channels == len(mode)
    for length in range(20):
        assert header_file.read_header(stream.getvalue()[:length]) is None or format == "GIF"


def test_map_in_threads_keeps_order_and_limits_queue():
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = map_in_threads(lambda i: i * i, items())
    assert [next(results) for _ in range(10)] == [i * i for i in range(10)]
    assert len(taken) < 500
    assert list(results) == [i * i for i in range(10, 1000)]
