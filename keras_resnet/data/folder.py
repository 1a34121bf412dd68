"""A folder of pictures, a folder per class: PATH/cat/1.jpg, or PATH/train/cat/1.jpg beside val/ and test/."""

import os

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import ImageSet, Split
from keras_resnet.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")  # what TensorFlow decodes, in any case
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


def load_folder(data: Data) -> ImageSet:
    """The pictures of a folder; classes are the names of its folders, in the order of the alphabet.

    Raises:
        DataError: there is no such folder, a class is empty, or a class of another split is not one of train's.
    """
    root = data.name.partition(":")[2]
    files = {name: class_files(path) for name, path in find_splits(root).items()}
    labels = tuple(files["train"])
    for name, classes in files.items():
        _check_classes(name, classes, labels, data.name)
    splits = {name: split_of_classes(classes, labels) for name, classes in files.items()}
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    return ImageSet(data.name, labels, (None, None, 3), splits)


def find_splits(root: str) -> dict[str, str]:
    """{"train": folder, ...}: the folders of splits inside `root`, or `root` itself as the training images.

    Raises:
        DataError: there is no such folder.
    """
    if not os.path.isdir(root):
        raise DataError(f"data.name: folder:{root}: there is no such folder")
    there = {name.lower(): name for name in os.listdir(root) if os.path.isdir(os.path.join(root, name))}
    found = {
        split: os.path.join(root, there[name]) for split, names in _SPLITS.items() for name in names if name in there
    }
    return found if "train" in found else {"train": root}


def class_files(folder: str) -> dict[str, list[str]]:
    """{class: paths of its pictures}, both sorted; hidden files and others than pictures are passed over."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    classes = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith((".", "__MACOSX")))
    return {name: _pictures(os.path.join(folder, name)) for name in classes}


def _pictures(folder):
    return sorted(
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
    )


def _check_classes(split, classes, labels, name):
    if len(labels) < 2:
        raise DataError(f"data.name: {name}: expected a folder for each of two or more classes, found {len(labels)}")
    for label, paths in classes.items():
        if label not in labels:
            raise DataError(f'data.name: {name}: {split} has a class "{label}" that train does not have')
        for path in paths:
            if not path.isprintable():
                raise DataError(f"data.name: {name}: {path!a}: expected a file name of printable UTF-8 characters")
        if not paths and split == "train":
            raise DataError(
                f'data.name: {name}: the class "{label}" has no pictures ({", ".join(EXTENSIONS)}) in {split}; '
                "add some, or remove its folder"
            )


def split_of_classes(classes: dict[str, list[str]], labels: tuple[str, ...]) -> Split:
    """{class: paths} -> a split; a label is the class's place in `labels`."""
    paths = [path for files in classes.values() for path in files]
    numbers = np.asarray([labels.index(label) for label, files in classes.items() for _ in files], np.int32)
    with tf.device("CPU:0"):
        paths_tensor, labels_tensor = tf.constant(paths, tf.string), tf.constant(numbers)

    def read(index):
        return tf.io.read_file(tf.gather(paths_tensor, index)), tf.gather(labels_tensor, index)

    return Split(len(paths), read, paths.__getitem__, numbers)
