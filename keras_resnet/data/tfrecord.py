"""Loads a folder of TFRecord files in the ImageNet layout: train-00000-of-01024, validation-00000-of-00128.

A record holds `image/encoded` (a JPEG or PNG) and `image/class/label` (int64, counted from 1). labels.txt holds
the class names, one per line. `keras-resnet prepare-data` writes all of these files.
"""

import os

import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.image_set import ImageSet, Split
from keras_resnet.data.records import Records, index_records, reader
from keras_resnet.data.splits import complete
from keras_resnet.errors import ConfigError, DataError

LABELS = "labels.txt"
FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64),
}


def load_tfrecord(data: Data) -> ImageSet:
    """Loads the files `train*`, `validation*` and `test*` of a folder.

    Raises:
        ConfigError: the number of classes is unknown.
        DataError: the folder holds no such files, or a file is damaged.
    """
    folder = data.name.partition(":")[2]
    files = files_of_splits(folder)
    labels = read_labels(folder, data)
    splits = {name: split_of_records(index_records(paths), len(labels)) for name, paths in files.items() if paths}
    for name, split in splits.items():
        if not split.size:
            raise DataError(f"data.name: {data.name}: the {name} files hold no records")
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    return ImageSet(data.name, labels, (None, None, 3), splits)


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


def split_of_records(records: Records, classes: int) -> Split:
    """Converts records of the ImageNet layout to a split."""
    record = reader(records)

    def read(index):
        features = tf.io.parse_single_example(record(index), FEATURES)
        return features["image/encoded"], tf.cast(features["image/class/label"], tf.int32) - 1

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
    if len(labels) < 2:
        raise DataError(f"{path}: names one class; expected two or more")
    if data.classes and data.classes != len(labels):
        raise ConfigError(f"data.classes: {data.classes}, but {path} names {len(labels)} classes; omit data.classes")
    return labels
