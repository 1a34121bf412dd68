"""Loads images that a CSV file lists with their labels: csv:FILE, or a folder with Hugging Face's metadata files."""

import os
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.config.labels import CsvColumns
from keras_resnet.data.csv_columns import find_columns
from keras_resnet.data.csv_labels import Labels, several_labels, single_labels
from keras_resnet.data.csv_rows import Cell, metadata_files, read_table
from keras_resnet.data.folder import check_formats
from keras_resnet.data.folder_tree import name_problem, shown, split_of
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import Finding, ImageSet, Split, Target
from keras_resnet.errors import DataError

_ORDER = ("train", "validation", "test")


class Row(NamedTuple):
    """A row of a file: the path of its image, its split, the cells of its labels, and where it is."""

    path: str
    split: str
    cells: tuple[Cell, ...]
    where: str


def load_csv(data: Data) -> ImageSet:
    """Returns the images of a CSV file, or of the metadata files in a folder.

    The classes are the labels of the training images, in alphabetical or numerical order, or the names of the columns
    of labels. Images that do not exist and labels that cannot be used are `problems`.

    Raises:
        ConfigError: the columns are not found, or a tf.data service cannot read an image.
        DataError: a file cannot be read or has no training images, or a package for an image is missing.
    """
    rows, names = _rows(data)
    if not any(row.split == "train" for row in rows):
        found = ", ".join(sorted({row.split for row in rows}))
        raise DataError(f"data.name: {data.name}: has no row of the split train, only of {found}")
    problems = [_bad_name(row) for row in rows if name_problem(row.path)]
    problems += _missing(data, rows) if not problems else []
    if not data.channels:
        check_formats([row.path for row in rows], data)
    read = several_labels if data.wants_several_labels else single_labels
    labels = read(rows, names, data)
    splits = {}
    for split in _ORDER:
        chosen = np.asarray([i for i in labels.kept if rows[i].split == split], np.int64)
        if len(chosen):
            splits[split] = _split([rows[i].path for i in chosen], chosen, labels)
    target: Target = "labels" if data.wants_several_labels else "label"
    problems += labels.problems
    if "train" in splits:
        splits = complete(splits, data.validation_fraction, data.test_fraction)
    shape = (None, None, data.channels or 3)
    return ImageSet(data.name, labels.names, shape, splits, labels.passed_over, target=target, problems=tuple(problems))


def _rows(data) -> tuple[list[Row], tuple[str, ...]]:
    """Returns the rows of all files, and the names of the columns of labels if there are several."""
    rows: list[Row] = []
    names: tuple[str, ...] | None = None
    for of_file, path in metadata_files(data.name.partition(":")[2]):
        table = read_table(path)
        columns = find_columns(table, data.csv)
        here = tuple(_text(table.columns[i], path) for i in columns.labels) if len(columns.labels) > 1 else ()
        if names is not None and here != names:
            raise DataError(f"{path}: its columns of labels, {here}, are not those of the other files, {names}")
        names = here
        folder = os.path.join(os.path.dirname(path), data.csv.folder or "")
        for line, cells in zip(table.lines, table.rows, strict=True):
            where = f"{path}, line {line}"
            split = of_file or "train"
            if columns.split is not None:
                split = _split_named(cells[columns.split], table.columns[columns.split], where)
            name = cells[columns.image]
            if not name or not isinstance(name, str):
                raise DataError(f'{where}: has no image in column "{table.columns[columns.image]}"')
            image = os.path.normpath(os.path.join(folder, name + data.csv.suffix))
            rows.append(Row(image, split, tuple(_label(cells[i], where) for i in columns.labels), where))
    return rows, names or ()


def _label(cell: Cell, where: str) -> Cell:
    """Returns the text of a label, or the texts of several."""
    return tuple(_text(each, where) for each in cell) if isinstance(cell, tuple) else _text(cell, where)


def _text(label: str, where: str) -> str:
    """Returns a label in composed Unicode, as the names of folders.

    Raises:
        DataError: it has a control character, such as the line break of a quote that is not closed.
    """
    if problem := name_problem(label):
        raise DataError(f'{where}: label "{shown(label)[:60]}": {problem}; is a quote not closed?')
    return unicodedata.normalize("NFC", label)


def _split_named(cell, column, where):
    split = split_of(cell) if isinstance(cell, str) else None
    if not split:
        raise DataError(f'{where}: column "{column}" has the split "{cell}"; expected train, validation or test')
    return split


def _bad_name(row):
    return Finding("unreadable", row.split, shown(row.path), f"{name_problem(row.path)}; {row.where}")


def _missing(data, rows) -> list[Finding]:
    """Returns a finding for each image that does not exist; that of the first one says where such files are."""
    found = [
        Finding("missing image", row.split, row.path, f"no such file; {row.where}")
        for row in rows
        if not os.path.isfile(row.path)
    ]
    if not found:
        return []
    hint = _hint(found[0].source, os.path.dirname(metadata_files(data.name.partition(":")[2])[0][1]), data.csv)
    first = found[0]
    return [Finding(first.kind, first.split, first.source, first.what + hint), *found[1:]]


def _hint(path: str, folder: str, given: CsvColumns) -> str:
    """Returns the keys by which an image is found in a folder beside the file, or with a suffix; else ""."""
    name = os.path.basename(path)
    inside = sorted(each for each in os.listdir(folder or ".") if os.path.isdir(os.path.join(folder, each)))
    for place in ("", *inside):
        for suffix in ("", ".jpg", ".jpeg", ".png", ".webp", ".npy", ".tif"):
            if os.path.isfile(os.path.join(folder, place, name + suffix)):
                keys = [f"data.csv.folder={place}"] * (place not in ("", given.folder))
                keys += [f"data.csv.suffix={suffix}"] * bool(suffix)
                return f"; set {' and '.join(keys)}" if keys else ""
    return ""


def _split(paths: Sequence[str], rows: np.ndarray, labels: Labels) -> Split:
    """Returns the split of these rows of `labels`."""
    single = labels.single[rows] if labels.single is not None else None
    probabilities = labels.probabilities[rows] if labels.probabilities is not None else None
    with tf.device("CPU:0"):
        all_paths = tf.constant(paths, tf.string)
        targets = tf.constant(probabilities if single is None else single)

    def read(index):
        target = tf.gather(targets, index)
        return tf.io.read_file(tf.gather(all_paths, index)), tf.cast(
            target, tf.int32 if single is not None else "float32"
        )

    return Split(len(paths), read, paths.__getitem__, single, probabilities=probabilities)
