"""Reads data sets of objects in Pascal VOC's format, such as the folder VOCdevkit/VOC2012.

With `data.split_lists`, the folder has these files in a folder of each year, and no list is a split by its name.

| file | read as |
|---|---|
| `ImageSets/Main/train.txt`, `val.txt`, `test.txt` | names of the images of the splits train, validation, test |
| `ImageSets/Main/trainval.txt`, without a `train.txt` | training images: all that are not in `val.txt` |
| `ImageSets/Main/test.txt`, if annotations of it are missing | no split; counted |
| `Annotations/NAME.xml` | the objects of the image NAME |
| `JPEGImages/NAME.jpg`; if missing, the file there of the annotation's `filename` | the image |

VOC counts pixels from 1 and includes the last, so xmin to xmax is [xmin - 1, xmax] here. A `difficult` object is
ignored in evaluation. Classes are VOC's twenty if all objects have these, else the names of all objects in alphabetical
order. An object that cannot be used is left out and is a finding.
"""

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from keras_resnet.config import Data
from keras_resnet.data.header import read_header
from keras_resnet.data.image_set import Finding, ImageSet, complete
from keras_resnet.data.objects import (
    EXPECTED,
    Objects,
    area_of,
    clipped_box,
    missing_images,
    require_files,
    split_of_files,
)
from keras_resnet.data.voc_lists import ImageList, read_lists
from keras_resnet.errors import ConfigError, DataError, one_line

LABELS = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
_NO_NAME = "object without a name"
_EXPECTED = EXPECTED | {_NO_NAME: "a name"}
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Image:
    """An image file and its objects: rows of (box, class name, ignored, area)."""

    path: str
    stated_size: tuple[float, float]  # height and width, 0 if the annotation does not have them
    rows: list[tuple[Any, str, bool, float]]
    problems: list[tuple[str, str, str]]  # kind, source and description of findings


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of a file without a document type, which could define entities of any size."""

    def doctype(self, name, pubid, system):
        """Refuses the document type."""
        raise ValueError("has a document type")


def load_voc(data: Data) -> ImageSet:
    """Returns the data set of the folder in `data.name`; missing images are its `problems`.

    Raises:
        ConfigError: the folder, or a list, does not exist.
        DataError: a list or an annotation cannot be read, or an image is in two lists.
    """
    folder = data.name.partition(":")[2]
    if not os.path.isdir(folder):
        raise ConfigError(f"data.name: {data.name}: no such folder")
    counts: Counter[str] = Counter()
    lists = read_lists(data, counts)
    read = {split: [(each, _images(each)) for each in of_split] for split, of_split in lists.items()}
    found = {split: [image for _, images in parts for image in images] for split, parts in read.items()}
    findings = tuple(
        Finding(kind, split, source, what)
        for split, images in found.items()
        for image in images
        for kind, source, what in image.problems
    )
    counts.update(finding.kind for finding in findings)
    names = {row[1] for images in found.values() for image in images for row in image.rows}
    labels = LABELS if names <= set(LABELS) else tuple(sorted(names))
    class_of = {name: i for i, name in enumerate(labels)}
    problems = [
        problem
        for split, parts in read.items()
        for each, images in parts
        for problem in missing_images(each.path, split, [image.path for image in images])
    ]
    splits = {
        split: split_of_files(
            [image.path for image in images],
            [_objects(image.rows, class_of) for image in images],
            np.array([image.stated_size for image in images]),
        )
        for split, images in found.items()
    }
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    shape = (None, None, 3)
    return ImageSet(
        data.name, labels, shape, splits, counts, target="boxes", findings=findings, problems=tuple(problems)
    )


def _images(listed: ImageList) -> list[_Image]:
    files = listed.annotations
    require_files(listed.path, "annotations", files)
    return [_image(listed.folder, name, file) for name, file in zip(listed.names, files, strict=True)]


def _image(folder, name, file) -> _Image:
    root = _read(file)
    path = os.path.join(folder, "JPEGImages", f"{name}.jpg")
    named = os.path.basename(root.findtext("filename", "").strip())
    if named and not os.path.isfile(path) and os.path.isfile(os.path.join(folder, "JPEGImages", named)):
        path = os.path.join(folder, "JPEGImages", named)
    rows, problems, objects = [], [], root.findall("object")
    stated = _stated_size(root)
    height, width = stated if any(stated) or not objects else _real_size(path)
    for i, element in enumerate(objects, 1):
        row, reason = _checked(element, height, width)
        if reason:
            what = f"{reason}, {_shown(element, height, width)}; expected {_EXPECTED[reason]}"
            problems.append((reason, f"{file}: object {i}", what))
        if row:
            rows.append(row)
    return _Image(path, stated, rows, problems)


def _shown(element, height, width):
    """Returns the corners of an object as its file has them."""
    corners = [f"{key} {one_line(element.findtext(f'bndbox/{key}', 'missing'), 20)}" for key in _CORNERS]
    return f"{', '.join(corners)} in {width:.0f} x {height:.0f} pixels"


def _read(file):
    """Returns the root element of an annotation."""
    try:
        root = ElementTree.parse(file, ElementTree.XMLParser(target=_Builder())).getroot()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # an unknown encoding is a LookupError
        raise DataError(f"{file}: is not XML of VOC's format ({one_line(error)})") from None
    if root.tag != "annotation":
        raise DataError(f"{file}: is not in VOC's format: its element is {one_line(root.tag, 40)}; expected annotation")
    return root


def _stated_size(root):
    """Returns (height, width) of the annotation, 0 if it has none."""
    height, width = _numbers(root.find("size"), ("height", "width"))
    return (height, width) if height > 0 and width > 0 else (0.0, 0.0)


def _real_size(path):
    """Returns (height, width) of the upright image, from its header."""
    try:
        with open(path, "rb") as file:
            header = read_header(file.read())
    except OSError:
        header = None  # `missing_images` names a missing file, and a run an unreadable one
    return header.upright_size if header else (1e9, 1e9)


def _checked(element, height, width):
    """Returns ((box, class name, ignored, area) or None, a reason to count the object or None)."""
    name = " ".join(element.findtext("name", "").split())
    if not name:
        return None, _NO_NAME
    x1, y1, x2, y2 = _numbers(element.find("bndbox"), _CORNERS)
    box, reason = clipped_box((y1 - 1, x1 - 1, y2, x2), height, width)
    if box is None:
        return None, reason
    return (box, name, element.findtext("difficult", "").strip() == "1", area_of(box)), reason


def _numbers(element, names):
    """Returns the numbers of child elements; NaN for a missing one."""
    values = []
    for name in names:
        try:
            values.append(float("nan" if element is None else element.findtext(name, "nan")))
        except ValueError:
            values.append(float("nan"))
    return values


def _objects(rows, class_of):
    boxes, names, ignored, areas = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Objects(boxes, [class_of[name] for name in names], ignored, areas)
