"""Writes tables and plots of a network's errors to a folder."""

import os

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_resnet.classification.metrics import by_class, worst_errors
from keras_resnet.classification.protocols import Predictions
from keras_resnet.data.arrays import visible
from keras_resnet.data.decode import decode
from keras_resnet.reports import draw_confusion, write_csv, write_json

SHOWN_ERRORS = 16


def write_report(folder: str, task, split: str, predictions: Predictions, content: dict) -> list[str]:
    """Writes evaluation.json, classes.csv, confusion.png and, if there are errors, errors.png and errors.csv.

    Returns:
        The paths written.
    """
    from sklearn.metrics import confusion_matrix  # takes seconds; evaluation without a report does not need it

    os.makedirs(folder, exist_ok=True)
    classes = np.arange(predictions.scores.shape[1])
    matrix = confusion_matrix(predictions.labels, predictions.scores.argmax(1), labels=classes)
    paths = [write_json(os.path.join(folder, "evaluation.json"), content)]
    paths.append(write_csv(os.path.join(folder, "classes.csv"), by_class(matrix, task.labels)))
    paths.append(draw_confusion(os.path.join(folder, "confusion.png"), matrix, task.labels))
    errors = _errors(task, split, predictions)
    if errors:
        paths.append(write_csv(os.path.join(folder, "errors.csv"), errors))
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
        pixels = decode(image, task.image_shape[2], task.description.preprocessing.exif_orientation).numpy()
        pixels = visible(pixels) if pixels.shape[-1] > 3 else pixels
        cell.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
        answer, label = int(predictions.scores[row].argmax()), int(predictions.labels[row])
        title = f"{task.labels[answer]} {predictions.scores[row, answer]:.2f}\nis {task.labels[label]}"
        cell.set_title(title, fontsize=8, parse_math=False)
    figure.savefig(path, dpi=130)
