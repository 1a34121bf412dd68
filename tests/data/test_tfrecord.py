"""Tests random access to TFRecord files and the ImageNet layout."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.pipeline import reason
from keras_resnet.data.records import index_records, reader
from keras_resnet.data.sources import load_image_set
from keras_resnet.errors import ConfigError, DataError


def write(path, contents):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
    return str(path)


@pytest.fixture
def files(tmp_path):
    random = np.random.RandomState(0)
    parts = [[random.bytes(size) for size in sizes] for sizes in ((5, 0, 70_000), (), (1, 300_000))]
    return [write(tmp_path / f"{i}.tfrecord", part) for i, part in enumerate(parts)], [
        record for part in parts for record in part
    ]


def test_index_records_random_access(files):
    paths, contents = files
    records = index_records(paths)
    assert len(records) == 5
    dataset = tf.data.Dataset.from_tensor_slices(np.array([4, 0, 3, 2, 1, 4])).map(reader(records), 4)
    assert [each.numpy() for each in dataset] == [contents[i] for i in (4, 0, 3, 2, 1, 4)]
    assert records.source(4) == f"{paths[2]}, record 1"
    assert records.source(0) == f"{paths[0]}, record 0"


def test_index_records_truncated_file_is_named(files):
    path = files[0][0]
    content = pathlib.Path(path).read_bytes()
    for length in (len(content) - 1, 20, 3):
        with open(path, "wb") as file:
            file.write(content[:length])
        with pytest.raises(DataError, match=f"{path}: is not a complete TFRecord file"):
            index_records([path])


def test_reader_flipped_bit_raises_data_loss(files):
    path = files[0][2]
    content = bytearray(pathlib.Path(path).read_bytes())
    content[-1000] ^= 1
    with open(path, "wb") as file:
        file.write(content)
    read = reader(index_records([path]))
    read(tf.constant(0, tf.int64))
    with pytest.raises(tf.errors.DataLossError):
        read(tf.constant(1, tf.int64))


def example(image, label):
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "image/height": tf.train.Feature(int64_list=tf.train.Int64List(value=[8])),  # further ones are ignored
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_tfrecord_imagenet_layout(tmp_path):
    for i in range(2):
        write(tmp_path / f"train-0000{i}-of-00002", [example(b"%d%d" % (i, j), 1 + j) for j in range(3)])
    write(tmp_path / "validation-00000-of-00001", [example(b"v", 3)])
    with pytest.raises(ConfigError, match=r"data\.classes: is needed"):
        load_image_set(Data(name=f"tfrecord:{tmp_path}"))
    assert len(load_image_set(Data(name=f"tfrecord:{tmp_path}", classes=1000)).labels) == 1000
    (tmp_path / "labels.txt").write_text("cat\ndog\nnewt\n")
    images = load_image_set(Data(name=f"tfrecord:{tmp_path}"))
    assert images.labels == ("cat", "dog", "newt")
    assert {name: split.size for name, split in images.splits.items()} == {"train": 6, "validation": 1}
    image, label = images.split("train").read(tf.constant(4, tf.int64))
    assert (image.numpy(), int(label)) == (b"11", 1)  # labels count from 1 in the files


def test_tfrecord_folder_without_records_raises(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "train-00000-of-00001").touch()
    with pytest.raises(DataError, match="the train files hold no records"):
        load_image_set(Data(name=f"tfrecord:{tmp_path / 'empty'}", classes=2))
    with pytest.raises(DataError, match=r"no files .*train-\*-of-\*"):
        load_image_set(Data(name=f"tfrecord:{tmp_path}"))


@pytest.fixture
def labeled_records(tmp_path):
    write(tmp_path / "train-00000-of-00001", [example(b"", 1)])
    return tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat\ndog\n\n", "labels.txt: line 3 is empty"),
        ("cat\n \ndog", "labels.txt: line 2 is empty"),
        ("cat\n", "labels.txt: names one class"),
        ("", "labels.txt: line 1 is empty"),
        (b"c\xe4t\ndog\n", "labels.txt: is not UTF-8 text"),
    ],
)
def test_tfrecord_invalid_labels_txt_raises(labeled_records, text, said):
    (labeled_records / "labels.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=said):
        load_image_set(Data(name=f"tfrecord:{labeled_records}"))


def test_tfrecord_labels_txt_bom_crlf_and_unicode(labeled_records):
    (labeled_records / "labels.txt").write_bytes("\ufeffcrane\r\ncrane\r\nLöwe\u2028x".encode())
    data = Data(name=f"tfrecord:{labeled_records}", classes=3)
    assert load_image_set(data).labels == ("crane", "crane", "Löwe\u2028x")
    with pytest.raises(ConfigError, match=r"data\.classes: 4, but .*labels\.txt names 3"):
        load_image_set(data.model_copy(update={"classes": 4}))


def test_tfrecord_label_out_of_range_raises(labeled_records):
    """Its one-hot code would be all zeros, so nothing would be learned from the image."""
    (labeled_records / "labels.txt").write_text("cat\ndog\n")
    write(labeled_records / "train-00000-of-00001", [example(b"", label) for label in (1, 0, 2, 3)])
    read = load_image_set(Data(name=f"tfrecord:{labeled_records}", validation_fraction=0, test_fraction=0))
    split = read.split("train")
    found = []
    for index in range(4):
        try:
            one = tf.data.Dataset.from_tensors(tf.constant(index, tf.int64)).map(split.read)
            found.append(int(one.get_single_element()[1]))
        except tf.errors.InvalidArgumentError as error:
            found.append(reason(error))
    assert found == [0, "its label is 0; expected 1 to 2", 1, "its label is 3; expected 1 to 2"]
