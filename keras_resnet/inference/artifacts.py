"""Reads the labels and the preprocessing of an exported artifact."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from keras_resnet.description import DESCRIPTION_FILE, Description, ImageSize, Preprocessing, height_and_width
from keras_resnet.errors import ConfigError
from keras_resnet.renamed import DESCRIPTION_FIELDS, PREPROCESSING_FIELDS, upgrade

REPORT = "export_report.json"
SMALL = 96  # pixels: up to this size, networks are tested on the whole image, larger ones on its center


def numbered(classes: int) -> tuple[str, ...]:
    """Returns numbers in place of labels."""
    return tuple(map(str, range(classes)))


def read_labels(path: str, classes: int | None) -> tuple[str, ...] | None:
    """Reads one label per line; returns None if the file is missing or has another number of lines than `classes`.

    `classes` is None if the artifact does not say how many there are.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return _fitting(lines(file.read()), path, classes)
    except (OSError, UnicodeDecodeError):
        return None


def labels_of(packed: Sequence[str] | None, path: str, classes: int | None) -> tuple[str, ...]:
    """Returns an artifact's labels: those packed into it, else those of the SavedModel of its version, else numbers."""
    own = _fitting(packed, path, classes) if packed else None
    folder = version_folder(path)
    beside = read_labels(os.path.join(folder, "assets.extra", "labels.txt"), classes) if folder else None
    return own or beside or numbered(classes or 0)


def lines(text: str) -> list[str]:
    """Splits a text of one label per line; only \\n ends a line."""
    return text.removesuffix("\n").split("\n")


def _fitting(labels, path, classes):
    if classes is not None and len(labels) != classes:
        print(f"WARNING: {path}: {len(labels)} labels for {classes} classes; showing numbers", file=sys.stderr)
        return None
    return tuple(labels)


def version_folder(path: str) -> str | None:
    """Returns the folder of the report: OUT/7 for OUT/litert/7-int8.tflite or OUT/onnx/7.onnx; a folder is its own."""
    if os.path.isdir(path):
        return path
    version = os.path.basename(path).partition(".")[0].partition("-")[0]
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(path))), version)
    return folder if version.isdecimal() and os.path.isdir(folder) else None


def read_preprocessing(
    path: str, size: ImageSize | None = None, packed: str | None = None
) -> tuple[Preprocessing, ImageSize | None]:
    """Returns (preprocessing of an artifact, height and width of its images if known).

    Args:
        path: a SavedModel's folder, or another artifact next to it.
        size: height and width that the artifact accepts, if it declares them.
        packed: the model description packed into the artifact, as JSON. None: that of the SavedModel of the same
            version is read, else the report of version 0.1.
    """
    folder = version_folder(path)
    description = _description(packed, path) or _description(_read(folder, DESCRIPTION_FILE), path)
    if description:
        return description.preprocessing, size or description.preprocessing.image_size
    report = _report(folder)
    if size is None:
        size = tuple((report.get("image_shape") or [])[:2]) or None
    said = upgrade(report.get("preprocessing") or {}, PREPROCESSING_FIELDS)
    fraction = 0.875 if size and min(height_and_width(size)) > SMALL else 1.0
    if not said and os.path.isfile(path):
        print(f"{path}: assumed: the central {fraction:.1%} of an image's shorter side, as is usual", file=sys.stderr)
    known: dict[str, Any] = {field.name: said[field.name] for field in fields(Preprocessing) if field.name in said}
    assumed: dict[str, Any] = {"image_size": size, "crop_pct": fraction}
    return Preprocessing(**assumed | known), size


def read_thresholds(path: str, packed: str | None = None) -> tuple[float, ...]:
    """Returns the thresholds of a multi-label artifact, () for others; arguments as for `read_preprocessing`."""
    description = _description(packed, path) or _description(_read(version_folder(path), DESCRIPTION_FILE), path)
    return description.thresholds if description else ()


def _description(text, path):
    if not text:
        return None
    try:
        return Description.from_json(json.loads(text))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _read(folder, name):
    try:
        with open(os.path.join(folder or "", name), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _report(folder):
    try:
        report = json.loads(_read(folder, REPORT) or "{}")
    except ValueError:
        return {}
    return upgrade(report, DESCRIPTION_FIELDS) if isinstance(report, dict) else {}
