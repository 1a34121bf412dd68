"""Reads tables: CSV files, and JSON Lines as Hugging Face's metadata.jsonl."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_resnet.data.folder_tree import split_of
from keras_resnet.errors import DataError, one_line

Cell = str | tuple[str, ...]  # a list of JSON Lines is a tuple
_DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True)
class Table:
    """A table whose rows all have a cell for each column.

    Attributes:
        path: its file.
        columns: their names.
        rows: the cells of each row, without white space around them.
        lines: the number of the last line of each row in the file.
    """

    path: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    lines: Sequence[int]


def read_table(path: str) -> Table:
    """Reads a file that ends in .jsonl as JSON Lines, and others as CSV with a header.

    The delimiter of a CSV file is the one of comma, tab and semicolon that its header has most.

    Raises:
        DataError: the file cannot be read, has no rows, or a row does not fit the header; the message names the line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            table = _read_jsonl(path, file) if path.endswith(".jsonl") else _read_csv(path, file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({one_line(error)}); save it as UTF-8") from None
    if not table.rows:
        raise DataError(f"{path}: has no rows below its header" if table.columns else f"{path}: is empty")
    return table


def _read_csv(path, file):
    header = file.readline()
    file.seek(0)
    delimiter = max(_DELIMITERS, key=header.count)
    rows, lines = [], []
    for line, cells in _records(path, csv.reader(file, delimiter=delimiter)):
        if cells and any(cells):
            rows.append(tuple(cell.strip() for cell in cells))
            lines.append(line)
    if not rows:
        return Table(path, (), (), ())
    columns, rows, lines = rows[0], rows[1:], lines[1:]
    twice = next((name for i, name in enumerate(columns) if name and name in columns[:i]), None)
    if twice:
        raise DataError(f'{path}: two columns have the name "{twice}"')
    for line, cells in zip(lines, rows, strict=True):
        if len(cells) != len(columns):
            raise DataError(f"{path}, line {line}: has {len(cells)} cells; its header has {len(columns)}")
    return Table(path, columns, rows, lines)


def _records(path, reader) -> Iterator:
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: cannot be read ({error})") from None
        yield reader.line_num, cells


def _read_jsonl(path, file):
    found, lines = [], []
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path}, line {line}: is not JSON ({one_line(error)})") from None
        if not isinstance(values, dict):
            raise DataError(f"{path}, line {line}: expected an object {{...}}, got {one_line(text, 60)}")
        found.append(values)
        lines.append(line)
    columns = tuple(dict.fromkeys(name for values in found for name in values))
    return Table(path, columns, [tuple(_cell(values.get(name)) for name in columns) for values in found], lines)


def _cell(value) -> Cell:
    if value is None:
        return ""
    if isinstance(value, list):
        return tuple(str(each).strip() for each in value)
    return value.strip() if isinstance(value, str) else json.dumps(value)


def metadata_files(root: str) -> list[tuple[str | None, str]]:
    """Returns (split, file) of a table, or of each metadata file in a folder.

    Args:
        root: a file; or a folder that has metadata.csv or metadata.jsonl, itself or in the folders of its splits. The
            split of a file is None unless its folder names one.

    Raises:
        DataError: there is no such file.
    """
    if not os.path.isdir(root):
        if not os.path.isfile(root):
            raise DataError(f"data.name: csv:{root}: no such file")
        return [(None, root)]
    folders = {name: split_of(name) for name in sorted(os.listdir(root))}
    inside = [(split, os.path.join(root, name)) for name, split in folders.items() if split]
    found = []
    for split, folder in [(None, root), *inside]:
        paths = [os.path.join(folder, f"metadata.{suffix}") for suffix in ("csv", "jsonl")]
        found += [(split, path) for path in paths if os.path.isfile(path)]
    if not found:
        tables = [name for name in folders if name.endswith((".csv", ".tsv", ".jsonl"))]
        hint = f"; name a file, such as csv:{os.path.join(root, tables[0])}" if tables else ""
        raise DataError(f"data.name: csv:{root}: the folder has no metadata.csv or metadata.jsonl{hint}")
    return found
