"""Writes tables as CSV. Cells that may come from file names or class names are made safe with `plain_cell`."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets run a cell with such a prefix


def csv_line(cells: Iterable) -> str:
    """Returns a line of CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def csv_table(rows: Sequence[Mapping], columns: Sequence[str] | None = None, line_end: str = "\n") -> bytes:
    """Returns a file with a header and the rows {column: cell}; None becomes an empty cell.

    Args:
        rows: the rows.
        columns: the columns in order; default those of the first row. Without rows and columns the file is empty.
        line_end: the end of a line.
    """
    stream = io.StringIO()
    columns = columns or list(rows[0] if rows else ())
    if columns:
        writer = csv.DictWriter(stream, columns, lineterminator=line_end)
        writer.writeheader()
        writer.writerows(rows)
    return stream.getvalue().encode()


def plain_cell(text: str) -> str:
    """Returns a CSV cell that no spreadsheet reads as a formula."""
    text = escape_undecodable(text)
    return f"'{text}" if text.startswith(_FORMULA) or re.match(r"\s+[=+\-@]", text) else text


def escape_undecodable(text: str) -> str:
    """Escapes file names that are not UTF-8, so that any stream accepts them."""
    return text.encode(errors="backslashreplace").decode()
