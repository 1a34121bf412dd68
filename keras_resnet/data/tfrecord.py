"""Loads a folder of TFRecord files, with random access to records inside a TensorFlow graph.

Records of the ImageNet layout have a label. Records of tf-models-official's layout for detection have objects: boxes as
shares of the image's height and width, labels that count from 1, crowds and areas.
"""

import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_resnet.config import Data
from keras_resnet.data.decode import image_size
from keras_resnet.data.image_set import ImageSet, Split, complete
from keras_resnet.data.objects import objects_in_pixels, unusable_boxes
from keras_resnet.errors import ConfigError, DataError

_HEADER, _FOOTER = 12, 4  # length and its checksum; the checksum of the data
_BUFFER = 1 << 18  # bytes per read: enough for most records

LABELS = "labels.txt"
LABEL = "image/class/label"
FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    LABEL: tf.io.FixedLenFeature([], tf.int64),
}
CORNERS = tuple(f"image/object/bbox/{name}" for name in ("ymin", "xmin", "ymax", "xmax"))
OBJECT_LABEL, IS_CROWD, AREA = "image/object/class/label", "image/object/is_crowd", "image/object/area"
SIZE = ("image/height", "image/width")
OBJECT_FEATURES = (
    {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    | {name: tf.io.FixedLenFeature([], tf.int64, 0) for name in SIZE}
    | {name: tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True) for name in (*CORNERS, AREA)}
    | {name: tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True) for name in (OBJECT_LABEL, IS_CROWD)}
)


@dataclass(frozen=True)
class Records:
    """The location of each record: file_of (N,) is the index of its file in `files`, offsets (N,) are in bytes."""

    files: list[str]
    file_of: np.ndarray
    offsets: np.ndarray

    def __len__(self):
        return len(self.offsets)

    def source(self, index: int) -> str:
        """Returns the location of record `index`, for messages."""
        file = self.file_of[index]
        number = index - int(np.searchsorted(self.file_of, file))
        return f"{self.files[file]}, record {number}"


def index_records(files: list[str]) -> Records:
    """Finds the offset of each record of TFRecord files; reads only the records' headers.

    Raises:
        DataError: a file cannot be read or ends in the middle of a record.
    """
    with ThreadPoolExecutor(16) as pool:
        offsets = list(pool.map(_offsets, files))
    file_of = np.repeat(np.arange(len(files), dtype=np.int32), [len(each) for each in offsets])
    return Records(files, file_of, np.concatenate(offsets))


def _offsets(path):
    try:
        size = tf.io.gfile.stat(path).length
        # TensorFlow's file objects also read remote stores; Python's are faster for local files.
        with open(path, "rb") if os.path.isfile(path) else tf.io.gfile.GFile(path, "rb") as file:
            offsets, position = [], 0
            while position < size:
                offsets.append(position)
                file.seek(position)
                header = file.read(_HEADER)
                length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER else size
                position += _HEADER + length + _FOOTER
    except (OSError, tf.errors.OpError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if position != size:
        number = len(offsets) - 1
        raise DataError(f"{path}: is not a complete TFRecord file: it ends within record {number} of {size} bytes")
    return np.asarray(offsets, np.int64)


def reader(records: Records) -> Callable:
    """Returns a function index () int64 -> the record () string; it verifies the checksum."""
    with tf.device("CPU:0"):
        files, file_of, offsets = map(tf.constant, (records.files, records.file_of, records.offsets))

    def read(index):
        file = tf.gather(files, tf.gather(file_of, index))
        of_one = {"output_types": [tf.string], "output_shapes": [[]]}
        dataset = tf.raw_ops.TFRecordDatasetV2(
            filenames=[file], compression_type="", buffer_size=_BUFFER, byte_offsets=[tf.gather(offsets, index)]
        )
        dataset = tf.raw_ops.TakeDataset(input_dataset=dataset, count=1, **of_one)
        return tf.raw_ops.DatasetToSingleElement(dataset=dataset, **of_one)[0]

    return read


def load_tfrecord(data: Data) -> ImageSet:
    """Loads the files `train*`, `validation*` and `test*` of a folder.

    Raises:
        ConfigError: the number of classes is unknown.
        DataError: the folder holds no such files, or a file is damaged.
    """
    folder = data.name.partition(":")[2]
    files = files_of_splits(folder)
    labels = read_labels(folder, data)
    records = {name: index_records(paths) for name, paths in files.items() if paths}
    for name, each in records.items():
        if not len(each):
            raise DataError(f"data.name: {data.name}: the {name} files hold no records")
    images = set_of_records(data, labels, records)
    return replace(images, splits=complete(images.splits, data.validation_fraction, data.test_fraction))


def set_of_records(data: Data, labels: tuple[str, ...], records: dict[str, Records]) -> ImageSet:
    """Returns the records of each split as they are, with the target that the first record has.

    Of records with a label and objects, such as ImageNet's can be, the tasks of boxes have the objects.
    """
    boxes = any(_has_objects(each, data.wants_boxes) for each in list(records.values())[:1])
    split_of = _split_of_objects if boxes else _split_of_labels
    splits = {name: split_of(each, len(labels)) for name, each in records.items()}
    return ImageSet(data.name, labels, (None, None, 3), splits, target="boxes" if boxes else "label")


def _has_objects(records, preferred):
    """Returns whether the first record is one of objects; `preferred` is whether objects are preferred to a label."""
    try:
        first = tf.train.Example.FromString(reader(records)(tf.constant(0, tf.int64)).numpy()).features.feature
    except (tf.errors.OpError, DecodeError):  # `read` names it
        return False
    objects, label = OBJECT_LABEL in first, LABEL in first
    return (objects or not label) if preferred else (objects and not label)


def files_of_splits(folder: str) -> dict[str, list[str]]:
    """Returns {split: its files, sorted}; "train" always has files.

    Raises:
        DataError: the folder holds no training files.
    """
    files = {
        name: sorted(tf.io.gfile.glob(os.path.join(folder, f"{name}*-of-*")))
        for name in ("train", "validation", "test")
    }
    if not files["train"]:
        raise DataError(f"data.name: tfrecord:{folder}: no files {os.path.join(folder, 'train-*-of-*')}")
    return files


def _split_of_labels(records, classes) -> Split:
    """Converts records of the ImageNet layout to a split."""
    record = reader(records)

    def read(index):
        features = tf.io.parse_single_example(record(index), FEATURES)
        return features["image/encoded"], tf.cast(features[LABEL], tf.int32) - 1

    return Split(len(records), read, records.source).with_labels_below(classes, first=1)


def _split_of_objects(records, classes) -> Split:
    """Converts records of the layout for detection to a split."""
    record = reader(records)

    def parsed(index):
        """Returns the features of a record, the size of its image (2,) float32, and the boxes in pixels."""
        features = tf.io.parse_single_example(record(index), OBJECT_FEATURES)
        stated = [tf.cast(features[name], tf.int32) for name in SIZE]
        size = tf.cast(image_size(features["image/encoded"], stated), tf.float32)
        return features, size, tf.stack([features[name] for name in CORNERS], axis=-1) * tf.tile(size, [2])

    def read(index):
        features, size, boxes = parsed(index)
        labels, count = features[OBJECT_LABEL], tf.shape(boxes)[0]
        wrong = tf.boolean_mask(labels, (labels < 1) | (labels > classes))
        first = tf.strings.as_string(tf.concat([wrong, [0]], 0)[0])
        what = tf.strings.join(["its label is ", first, f"; expected 1 to {classes}"])
        tf.debugging.Assert(tf.size(wrong) == 0, [what])
        crowd, areas = (_or_zeros(features[name], count) for name in (IS_CROWD, AREA))
        return features["image/encoded"], objects_in_pixels(boxes, size, labels - 1, crowd > 0, areas)

    def unusable(index):
        _, size, boxes = parsed(tf.constant(index, tf.int64))
        return unusable_boxes(boxes, size, records.source(index))

    return Split(len(records), read, records.source, unusable=unusable)


def _or_zeros(values, count):
    """Returns zeros (count,) for a feature that the record lacks."""
    return tf.cond(tf.size(values) > 0, lambda: values, lambda: tf.zeros([count], values.dtype))


def read_labels(folder: str, data: Data) -> tuple[str, ...]:
    """Returns the names in labels.txt, or numbers if only `data.classes` is set.

    Raises:
        ConfigError: both are missing, or their numbers of classes differ.
        DataError: labels.txt does not have a class name on every line.
    """
    path = os.path.join(folder, LABELS)
    if not tf.io.gfile.exists(path):
        if not data.classes:
            raise ConfigError(f"data.classes: is needed, because there is no {path}; ImageNet has 1000")
        return tuple(str(i) for i in range(data.classes))
    try:
        with tf.io.gfile.GFile(path) as file:
            text = file.read().removeprefix("\ufeff")  # byte order mark, which Windows editors write
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; expected the name of a class on every line") from None
    labels = tuple(label.removesuffix("\r") for label in text.removesuffix("\n").split("\n"))
    # Two classes may share a name: ImageNet has two cranes and two maillots.
    if empty := [number for number, label in enumerate(labels, 1) if not label.strip()]:
        raise DataError(f"{path}: line {empty[0]} is empty; expected the name of a class on every line")
    if len(labels) < 2:
        raise DataError(f"{path}: names one class; expected two or more")
    if data.classes and data.classes != len(labels):
        raise ConfigError(f"data.classes: {data.classes}, but {path} names {len(labels)} classes; omit data.classes")
    return labels
