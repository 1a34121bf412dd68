"""Writes tables and plots of a network's errors to a folder."""

import json
import os

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_resnet.classification.metrics import by_class, worst_errors
from keras_resnet.classification.protocols import Predictions
from keras_resnet.data.decode import decode
from keras_resnet.files import csv_table

NAMED_CLASSES = 40  # maximum number of classes whose names fit into the plot
SHOWN_ERRORS = 16


def write_report(folder: str, task, split: str, predictions: Predictions, figures: dict) -> list[str]:
    """Writes evaluation.json, classes.csv, confusion.png and, if there are errors, errors.png and errors.csv.

    Returns:
        The paths written.
    """
    from sklearn.metrics import confusion_matrix  # takes seconds; evaluation without a report does not need it

    os.makedirs(folder, exist_ok=True)
    classes = np.arange(predictions.scores.shape[1])
    matrix = confusion_matrix(predictions.labels, predictions.scores.argmax(1), labels=classes)
    path = os.path.join(folder, "evaluation.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)
    paths = [path, _write_csv(os.path.join(folder, "classes.csv"), by_class(matrix, task.labels))]
    paths.append(os.path.join(folder, "confusion.png"))
    draw_confusion(paths[-1], matrix, task.labels)
    errors = _errors(task, split, predictions)
    if errors:
        paths.append(_write_csv(os.path.join(folder, "errors.csv"), errors))
        worst = worst_errors(predictions.scores, predictions.labels, SHOWN_ERRORS)
        paths.append(os.path.join(folder, "errors.png"))
        draw_errors(paths[-1], task, split, predictions, worst)
    return paths


def _errors(task, split, predictions):
    """Returns a row per wrong prediction, highest score first."""
    source, rows = task.images.split(split).source, []
    for i in worst_errors(predictions.scores, predictions.labels, len(predictions.labels)):
        answer, label = int(predictions.scores[i].argmax()), int(predictions.labels[i])
        rows.append(
            {
                "image": source(int(predictions.indices[i])),
                "label": task.labels[label],
                "answer": task.labels[answer],
                "score": round(float(predictions.scores[i, answer]), 4),
                "score_of_label": round(float(predictions.scores[i, label]), 4),
            }
        )
    return rows


def _write_csv(path, rows):
    with open(path, "wb") as file:
        file.write(csv_table(rows, line_end="\r\n"))
    return path


def draw_confusion(path: str, matrix: np.ndarray, names: tuple[str, ...]) -> None:
    """Draws the confusion matrix into a PNG file, with each row as shares of its class."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(3 + 0.32 * len(names), 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="answer", ylabel="label")
    if len(names) <= NAMED_CLASSES:
        axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 3 else 0, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    if len(names) <= 15:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", fontsize=7, color=color)
    figure.colorbar(picture, shrink=0.7, label="share of the label's images")
    figure.savefig(path, dpi=130)


def draw_errors(path: str, task, split: str, predictions: Predictions, rows: np.ndarray) -> None:
    """Draws the images of `rows` into a PNG file, with the predicted class, its score and the label."""
    columns = min(4, len(rows))
    figure = Figure(figsize=(2.1 * columns, 2.5 * -(-len(rows) // columns)), layout="constrained")
    cells = figure.subplots(-(-len(rows) // columns), columns, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
    images = task.images.split(split)
    for cell, row in zip(cells, rows, strict=False):
        image, _ = images.read(tf.constant(predictions.indices[row], tf.int64))
        pixels = decode(image, task.image_shape[2]).numpy()
        cell.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
        answer, label = int(predictions.scores[row].argmax()), int(predictions.labels[row])
        title = f"{task.labels[answer]} {predictions.scores[row, answer]:.2f}\nis {task.labels[label]}"
        cell.set_title(title, fontsize=8)
    figure.savefig(path, dpi=130)
