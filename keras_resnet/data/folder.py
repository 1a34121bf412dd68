"""Loads images from one folder per class: PATH/cat/1.jpg, or PATH/train/cat/1.jpg next to val/ and test/."""

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.folder_scan import FolderScan, scan_folder
from keras_resnet.data.image_set import ImageSet, Split
from keras_resnet.data.splits import complete
from keras_resnet.errors import DataError


def load_folder(data: Data) -> ImageSet:
    """Returns the images of a folder; the classes are the names of its folders, in alphabetical order.

    Raises:
        DataError: the folder does not exist, or `scan_folder` finds a problem.
    """
    root = data.name.partition(":")[2]
    scan = scan_folder(root)
    if scan.problems:
        first, more = scan.problems[0], len(scan.problems) - 1
        what = first.what if first.source == root else str(first)
        raise DataError(f"data.name: {data.name}: {what}" + (f" (verify-data lists {more:,} more)" if more else ""))
    return set_of_scan(scan, data)


def set_of_scan(scan: FolderScan, data: Data) -> ImageSet:
    """Converts a scan to an image set; holds out training images for missing splits."""
    splits = {name: split_of_classes(classes, scan.labels) for name, classes in scan.splits.items()}
    if "train" in splits and splits["train"].size:
        splits = complete(splits, data.validation_fraction, data.test_fraction)
    return ImageSet(data.name, scan.labels, (None, None, 3), splits, scan.passed_over)


def split_of_classes(classes: dict[str, list[str]], labels: tuple[str, ...]) -> Split:
    """Converts {class: paths} to a split; a label is the index of the class in `labels`."""
    paths = [path for files in classes.values() for path in files]
    numbers = np.asarray([labels.index(label) for label, files in classes.items() for _ in files], np.int32)
    with tf.device("CPU:0"):
        paths_tensor, labels_tensor = tf.constant(paths, tf.string), tf.constant(numbers)

    def read(index):
        return tf.io.read_file(tf.gather(paths_tensor, index)), tf.gather(labels_tensor, index)

    return Split(len(paths), read, paths.__getitem__, numbers)
