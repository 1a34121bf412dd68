"""Reads the cells of labels: one label, a text of several, or numbers for each class."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_resnet.config import Data
from keras_resnet.data.image_set import Finding
from keras_resnet.errors import ConfigError, DataError, suggest

_SEPARATORS = ("|", ";", ",")
_SUM = 0.01  # largest distance of the sum of an image's probabilities from 1
_TWICE = "image named twice"


@dataclass(frozen=True)
class Labels:
    """The labels of rows.

    Attributes:
        names: the class names.
        kept: positions of the rows that are images of the set, each once.
        single: (rows,) int32, the class of each row, the most probable one of soft labels; None for several labels.
        probabilities: (rows, classes) float32, or uint8 if all are 0 or 1; None for images of one class.
        problems: rows that cannot be used.
        passed_over: {reason: number of rows} of rows that are left out.
    """

    names: tuple[str, ...]
    kept: Sequence[int]
    single: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    problems: Sequence[Finding] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)


def single_labels(rows: Sequence, columns: tuple[str, ...], data: Data) -> Labels:
    """Returns the class of each row; for columns of the classes that hold fractions, their probabilities too.

    Args:
        rows: of `keras_resnet.data.csv_set`.
        columns: names of the columns of the classes; empty for one column of labels.
        data: the configuration.

    Raises:
        ConfigError: a separator is set, which is for several labels.
        DataError: a cell is no number from 0 to 1, or the numbers of a row do not sum to 1.
    """
    if data.csv.separator:
        raise ConfigError("data.csv.separator: images with several labels need task: multilabel")
    if not columns:
        return _classes(rows, data)
    shares = _numbers(rows, columns)
    sums = shares.sum(1)
    if len(wrong := np.flatnonzero(abs(sums - 1) > _SUM)):
        where = rows[wrong[0]].where
        raise DataError(
            f"{where}: its {len(columns)} columns of labels sum to {sums[wrong[0]]:g}; expected 1, the probability of "
            "all classes; for images with several labels or none, set task: multilabel"
        )
    single = shares.argmax(1).astype(np.int32)
    soft = None if _is_binary(shares) else (shares / sums[:, None]).astype(np.float32)
    kept, problems, passed_over = _distinct(rows, shares)
    return Labels(columns, kept, single, soft, problems, passed_over)


def several_labels(rows: Sequence, columns: tuple[str, ...], data: Data) -> Labels:
    """Returns the labels of each row, (rows, classes); rows of the same image and split add up.

    Args:
        rows, columns, data: as for `single_labels`.

    Raises:
        ConfigError: the separator of the labels is not clear.
        DataError: a cell is no number from 0 to 1, or there is no label in the training images.
    """
    problems: list[Finding] = []
    if columns:
        names, found = columns, _numbers(rows, columns)
        found = found.astype(np.uint8 if _is_binary(found) else np.float32)
    else:
        labels = _separated(rows, data)
        pairs = list(zip(rows, labels, strict=True))
        names = tuple(sorted({label for row, each in pairs if row.split == "train" for label in each}, key=_order))
        if not names:
            raise DataError(f"data.name: {data.name}: no training image has a label")
        problems += _unknown(names, [(row.split, label) for row, each in pairs for label in each])
        class_of = {name: i for i, name in enumerate(names)}
        found = np.zeros((len(rows), len(names)), np.uint8)
        for row, each in zip(found, labels, strict=True):
            row[[class_of[label] for label in each if label in class_of]] = 1
    first: dict[str, int] = {}
    passed_over: Counter[str] = Counter()
    for i, row in enumerate(rows):
        at = first.setdefault(row.path, i)
        if rows[at].split != row.split:
            problems.append(_in_two_splits(row, rows[at]))
        elif at != i:
            found[at] = np.maximum(found[at], found[i])
            passed_over["row of an image that has another row, added to it"] += 1
    return Labels(names, list(first.values()), None, found, problems, passed_over)


def _classes(rows, data) -> Labels:
    """Returns the class of each row from its one cell."""
    cells = [row.cells[0] for row in rows]
    problems = [
        Finding("no label", row.split, row.path, f"has no label; {row.where}")
        for row, cell in zip(rows, cells, strict=True)
        if not cell
    ]
    listed = next((row for row, cell in zip(rows, cells, strict=True) if isinstance(cell, tuple)), None)
    if listed:
        raise DataError(f"{listed.where}: has a list of labels; expected one label, or task: multilabel")
    pairs = zip(rows, cells, strict=True)
    names = tuple(sorted({cell for row, cell in pairs if cell and row.split == "train"}, key=_order))
    several = next((name for name in names if "|" in name and {*name.split("|")} <= {*names}), None)
    if several:
        raise DataError(
            f'{data.name}: the label "{several}" joins other classes; images with several labels need task: multilabel'
        )
    if len(names) < 2:
        what = f"expected two or more classes in the training images, found {len(names)}: {', '.join(names)}"
        problems.insert(0, Finding("wrong layout", "train", data.name.partition(":")[2], what))
    class_of = {name: i for i, name in enumerate(names)}
    single = np.asarray([class_of.get(cell, -1) for cell in cells], np.int32)
    problems += _unknown(names, [(row.split, cell) for row, cell in zip(rows, cells, strict=True) if cell])
    kept, others, passed_over = _distinct(rows, single)
    return Labels(names, [i for i in kept if single[i] >= 0], single, None, [*problems, *others], passed_over)


def _unknown(names, labels) -> list[Finding]:
    """Returns a problem for each label of (split, label) that no training image has, which is often a typing error."""
    problems, known = [], set(names)
    for split in ("validation", "test"):
        unknown = Counter(label for of_label, label in labels if of_label == split and label not in known)
        for label, count in sorted(unknown.items()):
            near = suggest(label, names)
            hint = f"; {near}" if near.startswith("did you mean") else ""
            what = f"train does not have this class; its {count} images cannot be used{hint}"
            problems.append(Finding("unknown class", split, f'class "{label}"', what))
    return problems


def _distinct(rows, labels) -> tuple[list[int], list[Finding], dict[str, int]]:
    """Returns the first row of each image, problems of images with two labels or splits, and counts of repetitions."""
    first: dict[str, int] = {}
    problems: list[Finding] = []
    passed_over: Counter[str] = Counter()
    for i, row in enumerate(rows):
        at = first.setdefault(row.path, i)
        if at == i:
            continue
        if rows[at].split != row.split:
            problems.append(_in_two_splits(row, rows[at]))
        elif np.any(labels[at] != labels[i]):
            what = f"has another label than in {rows[at].where}; {row.where}"
            problems.append(Finding("two labels", row.split, row.path, what))
        else:
            passed_over[_TWICE] += 1
    return list(first.values()), problems, passed_over


def _in_two_splits(row, other):
    return Finding("duplicate", row.split, row.path, f"is in {other.split} too; {row.where} and {other.where}")


def _numbers(rows, columns) -> np.ndarray:
    """Returns the numbers (rows, columns) of cells."""
    found = np.empty((len(rows), len(columns)), np.float64)
    for values, row in zip(found, rows, strict=True):
        for i, cell in enumerate(row.cells):
            try:
                values[i] = float(cell)
            except (TypeError, ValueError):
                values[i] = np.nan
            if not 0 <= values[i] <= 1:
                what = "expected 1, 0, or a probability"
                raise DataError(f'{row.where}: column "{columns[i]}" has "{cell}"; {what}')
    return found


def _is_binary(values) -> bool:
    return bool(np.isin(values, (0, 1)).all())


def _separated(rows, data) -> list[tuple[str, ...]]:
    """Returns the labels in the one cell of each row."""
    separator = data.csv.separator or _separator({row.cells[0] for row in rows if isinstance(row.cells[0], str)})
    found = []
    for row in rows:
        cell = row.cells[0]
        parts = cell if isinstance(cell, tuple) else cell.split(separator)
        found.append(tuple(part.strip() for part in parts if part.strip()))
    return found


def _separator(cells) -> str:
    """Returns the separator of labels.

    Raises:
        ConfigError: several could be it, or only a space could be.
    """
    used = [each for each in _SEPARATORS if any(each in cell for cell in cells)]
    if len(used) > 1:
        shown = next(cell for cell in cells if used[0] in cell)
        raise ConfigError(
            f'data.csv.separator: labels such as "{shown}" have {" and ".join(used)}; set the one between labels, '
            f"as in --set \"data.csv.separator='{used[0]}'\""
        )
    spaced = next((cell for cell in sorted(cells) if " " in cell), None)
    if not used and spaced:
        raise ConfigError(
            f'data.csv.separator: is "{spaced}" one label, or several? For one, --set "data.csv.separator=\'|\'"; '
            "for several, --set \"data.csv.separator=' '\""
        )
    return used[0] if used else _SEPARATORS[0]


def _order(name: str) -> tuple[bool, int, str]:
    """Sorts numbers by value, before other names."""
    number = name.isascii() and name.isdecimal()
    return not number, int(name) if number else 0, name
