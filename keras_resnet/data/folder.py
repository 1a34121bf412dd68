"""Loads images from one folder per class: PATH/cat/1.jpg, or PATH/train/cat/1.jpg next to val/ and test/."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.arrays import FORMATS, is_array
from keras_resnet.data.folder_tree import (
    IMAGE_SUFFIXES,
    Folder,
    classes_of,
    find_splits,
    name_problem,
    read_folder,
    shown,
)
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import Finding, ImageSet, Split, passed_over_text
from keras_resnet.data.pillow_formats import SUFFIXES, heic_problem
from keras_resnet.errors import ConfigError, DataError, suggest


@dataclass(frozen=True)
class FolderScan:
    """The contents of a data set's folder.

    Attributes:
        splits: {split: {class: paths}}, all sorted. "train" is present unless the layout is not understood.
        passed_over: {reason: number of files} of skipped files, which are not data.
        problems: what prevents a run; empty for a usable folder.
    """

    splits: dict[str, dict[str, list[str]]]
    passed_over: dict[str, int]
    problems: tuple[Finding, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names, in the order of their labels."""
        return tuple(self.splits.get("train", ()))


def scan_folder(root: str, channels: int | None = None) -> FolderScan:
    """Scans a folder that holds class folders, or split folders that hold class folders.

    Args:
        root: the folder.
        channels: see `data.channels`; its files are arrays if it is not None.

    Raises:
        DataError: the folder does not exist or cannot be read.
    """
    if not os.path.isdir(root):
        raise DataError(f"data.name: folder:{shown(root)}: no such folder")
    if what := name_problem(root):
        raise DataError(f"data.name: folder:{shown(root)}: {what}")
    tree = read_folder(root, is_array if channels else None)
    try:
        folders, absent = find_splits(tree)
    except DataError as error:
        return FolderScan({}, dict(tree.passed_over), (Finding("wrong layout", "train", root, str(error)),))
    passed_over = Counter(tree.passed_over)
    problems: list[Finding] = []
    splits = {}
    for name, folder in folders.items():
        if folder is not tree:
            passed_over.update(folder.passed_over)
        passed_over["image outside of a class folder"] += len(folder.images)
        splits[name] = _class_files(name, folder, passed_over, problems, FORMATS if channels else IMAGE_SUFFIXES)
    if tree not in folders.values():
        passed_over["image outside of a class folder"] += len(tree.images)
    found = {reason: count for reason, count in passed_over.items() if count} | dict(absent)
    # Unreadable names come first: they may be the reason for too few classes.
    problems.sort(key=lambda problem: problem.kind != "unreadable")
    unreadable = sum(problem.kind == "unreadable" for problem in problems)
    problems[unreadable:unreadable] = _missing_classes(root, splits, found)
    return FolderScan(splits, found, tuple(problems))


def _class_files(split, folder: Folder, passed_over, problems, formats) -> dict[str, list[str]]:
    """Returns {class: paths}; skips what cannot be used and adds it to `problems`."""
    folder_of: dict[str, Folder] = {}
    for name, inside in (folder.folders if split == "train" else classes_of(folder)).items():
        label = unicodedata.normalize("NFC", name)  # macOS decomposes names, other systems compose them
        if what := name_problem(name):
            problems.append(Finding("unreadable", split, shown(inside.path), what))
        elif label in folder_of:
            what = (
                f"its name is that of another folder of {split}, but for the Unicode form; expected one folder a class"
            )
            problems.append(Finding("wrong layout", split, inside.path, what))
        elif same := [other for other, each in folder_of.items() if each.real == inside.real]:
            what = f'is the same folder as the class "{same[0]}"; expected one folder a class'
            problems.append(Finding("wrong layout", split, inside.path, what))
        else:
            folder_of[label] = inside
    files = {}
    for label in sorted(folder_of):
        passed_here: Counter = Counter()
        paths = sorted(folder_of[label].collect(passed_here))
        passed_over.update(passed_here)
        unusable = {path: what for path in paths if (what := name_problem(path))}
        problems += [Finding("unreadable", split, shown(path), what) for path, what in unusable.items()]
        files[label] = [path for path in paths if path not in unusable]
        if not paths and split == "train":
            instead = f"; ignored: {passed_over_text(passed_here)}" if passed_here else ""
            what = f"has no images ({formats}); add some, or remove its folder{instead}"
            problems.append(Finding("empty class", split, f'class "{label}"', what))
    return files


def _missing_classes(root, splits, passed_over) -> list[Finding]:
    """Returns findings for too few classes and for classes that train lacks; removes the latter from `splits`."""
    labels, problems = splits["train"], []
    if len(labels) < 2:
        instead = f"; ignored: {passed_over_text(passed_over)}" if passed_over else ""
        what = f"expected a folder for each of two or more classes, found {len(labels)}{instead}"
        problems.append(Finding("wrong layout", "train", root, what))
    for split, classes in splits.items():
        for label in [label for label in classes if label not in labels]:
            near = suggest(label, labels)
            hint = f"; {near}" if near.startswith("did you mean") else ""
            what = f"train does not have this class; its {len(classes.pop(label))} images cannot be used{hint}"
            problems.append(Finding("unknown class", split, f'class "{label}"', what))
    return problems


def load_folder(data: Data) -> ImageSet:
    """Returns the images of a folder; the classes are the names of its folders, in alphabetical order.

    Raises:
        ConfigError: a tf.data service cannot read an image.
        DataError: the folder does not exist, `scan_folder` finds a problem, or a package for an image is missing.
    """
    root = data.name.partition(":")[2]
    scan = scan_folder(root, data.channels)
    if scan.problems:
        first, more = scan.problems[0], len(scan.problems) - 1
        what = first.what if first.source == root else str(first)
        raise DataError(f"data.name: {data.name}: {what}" + (f" (verify-data lists {more:,} more)" if more else ""))
    if not data.channels:
        check_formats([path for classes in scan.splits.values() for files in classes.values() for path in files], data)
    return set_of_scan(scan, data)


def check_formats(paths: Sequence[str], data: Data) -> None:
    """Refuses files, by their suffixes, that this process or a tf.data service could not decode later.

    Raises:
        ConfigError: a tf.data service cannot read an image.
        DataError: a package for an image is missing.
    """
    by_format = {
        name: next((path for path in paths if path.lower().endswith(suffixes)), None)
        for name, suffixes in SUFFIXES.items()
    }
    found = next(filter(None, by_format.values()), None)
    if found and data.tf_data_service:
        what = f"its workers read no AVIF, TIFF or HEIC, such as {found}; prepare-data converts them"
        raise ConfigError(f"data.tf_data_service: {what}")
    if by_format["HEIC"] and data.on_unreadable_image == "fail" and (missing := heic_problem()):
        raise DataError(f"{by_format['HEIC']}: is a HEIC image, which {missing}")


def set_of_scan(scan: FolderScan, data: Data) -> ImageSet:
    """Converts a scan to an image set; holds out training images for missing splits."""
    splits = {name: split_of_classes(classes, scan.labels) for name, classes in scan.splits.items()}
    if "train" in splits and splits["train"].size:
        splits = complete(splits, data.validation_fraction, data.test_fraction)
    return ImageSet(data.name, scan.labels, (None, None, data.channels or 3), splits, scan.passed_over)


def split_of_classes(classes: dict[str, list[str]], labels: tuple[str, ...]) -> Split:
    """Converts {class: paths} to a split; a label is the index of the class in `labels`."""
    paths = [path for files in classes.values() for path in files]
    numbers = np.asarray([labels.index(label) for label, files in classes.items() for _ in files], np.int32)
    with tf.device("CPU:0"):
        paths_tensor, labels_tensor = tf.constant(paths, tf.string), tf.constant(numbers)

    def read(index):
        return tf.io.read_file(tf.gather(paths_tensor, index)), tf.gather(labels_tensor, index)

    return Split(len(paths), read, paths.__getitem__, numbers)
