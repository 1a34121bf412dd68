"""Provides what reports share: tables as JSON, CSV and Markdown, and the plot of a confusion matrix."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_resnet.files import csv_table

NAMED_CLASSES = 40  # maximum number of classes whose names fit into the plot
COUNTED_CLASSES = 21  # maximum number of classes whose counts fit into the plot


def write_json(path: str, value: Any) -> str:
    """Writes a JSON file and returns its path."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
    return path


def write_csv(path: str, rows: Sequence[Mapping], columns: Sequence[str] | None = None) -> str:
    """Writes rows {column: cell} as CSV for spreadsheets and returns the path; see `csv_table`."""
    with open(path, "wb") as file:
        file.write(csv_table(rows, columns, line_end="\r\n"))
    return path


def markdown_table(rows: Sequence[Mapping[str, Any]], digits: int = 2) -> list[str]:
    """Returns the lines of a Markdown table; numbers are right-aligned, fractions have that many digits."""
    if not rows:
        return []
    columns = list(rows[0])
    numbers = {column for column in columns if all(isinstance(row[column], (int, float, type(None))) for row in rows)}
    lines = ["| " + " | ".join(columns) + " |"]
    lines.append("|" + "|".join("---:" if column in numbers else "---" for column in columns) + "|")
    lines += ["| " + " | ".join(_cell(row[column], digits) for column in columns) + " |" for row in rows]
    return lines


def _cell(value, digits):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.{digits}f}" if abs(value) >= 0.1 or value == 0 else f"{value:.{digits}g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value).replace("|", "\\|")


def distinct(names: Sequence[str]) -> list[str]:
    """Returns the names, with its position from 0 after each that two share: "crane (134)", "crane (517)"."""
    counts = Counter(names)
    return [f"{name} ({i})" if counts[name] > 1 else name for i, name in enumerate(names)]


def draw_confusion(
    path: str,
    matrix: np.ndarray,
    names: Sequence[str],
    rows: str = "label",
    columns: str = "answer",
    shares: str = "share of the label's images",
) -> str:
    """Draws a confusion matrix into a PNG file, with each row as shares of its sum, and returns the path.

    Args:
        path: the file.
        matrix: counts (classes, classes).
        names: of the classes.
        rows, columns: labels of the axes.
        shares: label of the colors.
    """
    from matplotlib.figure import Figure

    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(3 + 0.32 * len(names), 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel=columns, ylabel=rows)
    if len(names) <= NAMED_CLASSES:
        style: dict[str, Any] = {"fontsize": 8, "parse_math": False}
        axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0, **style)
        axes.set_yticks(range(len(names)), names, **style)
    if len(names) <= COUNTED_CLASSES:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(picture, shrink=0.7, label=shares)
    figure.savefig(path, dpi=130)
    return path
