"""Finds the columns of images, labels and splits in a table: those that the configuration names, else usual ones."""

import shlex
from dataclasses import dataclass

from keras_resnet.config.labels import CsvColumns
from keras_resnet.data.csv_rows import Table
from keras_resnet.data.folder_tree import split_of
from keras_resnet.errors import ConfigError, suggest

# Names without case, spaces and signs. The first one that a table has is used.
_IMAGE = "filename filenames filepath filepaths file files path paths imagepath imagepaths imagefile imagefilename"
_IMAGE += " imagename imageindex image images img imgpath imgname imageid imgid id"
_LABEL = "label labels class classname classes category categories tag tags target targets findinglabels"
_SPLIT = "split splits set subset partition dataset"
_SHOWN = 8  # columns in a message


@dataclass(frozen=True)
class Columns:
    """Positions of columns.

    Attributes:
        image: of the images' paths.
        labels: of the labels: one, or one for each class.
        split: of the splits; None if the table has none.
    """

    image: int
    labels: tuple[int, ...]
    split: int | None


def find_columns(table: Table, given: CsvColumns) -> Columns:
    """Returns the columns of a table.

    Raises:
        ConfigError: a named column does not exist, or no column has a usual name; the message names the columns found
            and the key to set.
    """
    image = _named(table, given.image, "image") if given.image else _usual(table, _IMAGE)
    if image is None:
        raise _missing(table, "image", "that of the images' paths", range(len(table.columns)))
    split = _named(table, given.split, "split") if given.split else _usual_split(table)
    labels = tuple(_named(table, name, "label") for name in given.label) or _labels(table, {image, split})
    taken = {image: "image"} | ({} if split is None else {split: "split"})
    if both := [each for each in labels if each in taken]:
        name = table.columns[both[0]]
        raise ConfigError(f'data.csv.label: column "{name}" of {table.path} is that of data.csv.{taken[both[0]]}')
    return Columns(image, labels, split)


def _plain(name):
    return "".join(character for character in name.lower() if character.isalnum())


def _named(table, name, key):
    if name not in table.columns:
        raise ConfigError(f'data.csv.{key}: {table.path} has no column "{name}"; {suggest(name, table.columns)}')
    return table.columns.index(name)


def _usual(table, names):
    plain = [_plain(name) for name in table.columns]
    return next((plain.index(name) for name in names.split() if name in plain), None)


def _usual_split(table):
    """Returns a column with a usual name that names a split in some row; others hold something else."""
    column = _usual(table, _SPLIT)
    if column is None or not any(isinstance(row[column], str) and split_of(row[column]) for row in table.rows):
        return None
    return column


def _labels(table, taken):
    usual = _usual(table, _LABEL)
    if usual is not None and usual not in taken:
        return (usual,)
    others = tuple(i for i, name in enumerate(table.columns) if i not in taken and name)
    if len(others) == 1 or (others and all(_is_share(row[i]) for row in table.rows for i in others)):
        return others
    raise _missing(table, "label", "that of the labels, or the list of those of the classes", others[::-1])


def _is_share(cell):
    try:
        return 0 <= float(cell) <= 1
    except (TypeError, ValueError):
        return False


def _missing(table, key, what, candidates):
    found = ", ".join(f'"{name}"' for name in table.columns[:_SHOWN])
    more = f" and {len(table.columns) - _SHOWN} more" if len(table.columns) > _SHOWN else ""
    example = next((table.columns[i] for i in candidates if table.columns[i]), "NAME")
    return ConfigError(
        f"data.csv.{key}: {table.path} has the columns {found}{more}; name {what}, "
        f"for example --set {shlex.quote(f'data.csv.{key}={example}')}"
    )
