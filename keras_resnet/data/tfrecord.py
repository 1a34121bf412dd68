"""Loads a folder of TFRecord files of the ImageNet layout, or of tf-models-official's for detection.

Records of the first have a label, those of the second objects (`record_objects`).
"""

import contextlib
import functools
import os
from dataclasses import replace

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_resnet.config import Data
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import ImageSet, Split
from keras_resnet.data.record_objects import MASKS, OBJECT_LABEL, split_of_records
from keras_resnet.data.records import Records, index_records, reader
from keras_resnet.errors import ConfigError, DataError

LABELS = "labels.txt"
LABEL = "image/class/label"
FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    LABEL: tf.io.FixedLenFeature([], tf.int64),
}


def load_tfrecord(data: Data, masks: bool = False) -> ImageSet:
    """Loads the files `train*`, `validation*` and `test*` of a folder; with `masks`, those of objects too.

    Raises:
        ConfigError: the number of classes is unknown, or the records have no masks.
        DataError: the folder holds no such files, or a file is damaged.
    """
    folder = data.name.partition(":")[2]
    files = files_of_splits(folder)
    labels = read_labels(folder, data)
    records = {name: index_records(paths) for name, paths in files.items() if paths}
    for name, each in records.items():
        if not len(each):
            raise DataError(f"data.name: {data.name}: the {name} files hold no records")
    images = set_of_records(data, labels, records, masks)
    return replace(images, splits=complete(images.splits, data.validation_fraction, data.test_fraction))


def set_of_records(data: Data, labels: tuple[str, ...], records: dict[str, Records], masks: bool = False) -> ImageSet:
    """Returns the records of each split as they are, with the target that the first record has.

    Of records with a label and objects, such as ImageNet's can be, the tasks of boxes have the objects.

    Raises:
        ConfigError: the first record has objects without masks, and `masks` asks for them.
    """
    first = _first_features(records)
    boxes = _has_objects(first, data.wants_boxes)
    if boxes and masks and MASKS not in first:
        what = f"its records have no masks ({MASKS}); prepare-data --masks writes them"
        raise ConfigError(f"data.name: {data.name}: {what}")
    split_of = functools.partial(split_of_records, masks=masks) if boxes else _split_of_labels
    splits = {name: split_of(each, len(labels)) for name, each in records.items()}
    return ImageSet(data.name, labels, (None, None, 3), splits, target="boxes" if boxes else "label")


def _first_features(records):
    """Returns {name: feature} of the first record; it is empty if that is damaged, which `read` says."""
    for each in list(records.values())[:1]:
        with contextlib.suppress(tf.errors.OpError, DecodeError):
            return tf.train.Example.FromString(reader(each)(tf.constant(0, tf.int64)).numpy()).features.feature
    return {}


def _has_objects(first, preferred):
    """Returns whether the first record is one of objects; `preferred` is whether objects are preferred to a label."""
    if not first:
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
    if len(labels) < 2 and not data.wants_boxes:
        raise DataError(f"{path}: names one class; expected two or more")
    if data.classes and data.classes != len(labels):
        raise ConfigError(f"data.classes: {data.classes}, but {path} names {len(labels)} classes; omit data.classes")
    return labels
