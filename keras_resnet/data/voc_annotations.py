"""Reads annotation files in Pascal VOC's format: the objects of an image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from keras_resnet.data.header import read_header
from keras_resnet.data.objects import EXPECTED, ROUNDING, Objects, area_of, clipped_box
from keras_resnet.errors import DataError, one_line

_NO_NAME = "object without a name"
_EXPECTED = EXPECTED | {_NO_NAME: "a name"}
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotated:
    """An image file and its objects.

    Attributes:
        path: the image file.
        stated_size: height and width, 0 if the annotation does not have them.
        rows: (box, class name, ignored, area) of each object that can be used.
        problems: kind, source and description of findings.
    """

    path: str
    stated_size: tuple[float, float]
    rows: list[tuple[Any, str, bool, float]]
    problems: list[tuple[str, str, str]]


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of a file without a document type, which could define entities of any size."""

    def doctype(self, name, pubid, system):
        """Refuses the document type."""
        raise ValueError("has a document type")


def read_annotation(file: str, image: Callable[[str], str], first_pixel: int = 1) -> Annotated:
    """Reads an annotation.

    Args:
        file: its path.
        image: the file name in the annotation, or "" -> the path of the image.
        first_pixel: number of the first pixel, 1 in VOC. The last pixel is inside of a box: xmin to xmax is
            [xmin - first_pixel, xmax + 1 - first_pixel]. Boxes from 0 may exceed their image by a pixel, because
            ImageNet's end at its width, and not at its last pixel, in some annotations.

    Raises:
        DataError: it cannot be read, or is not in VOC's format.
    """
    root = _read(file)
    path = image(root.findtext("filename", "").strip())
    rows, problems, objects = [], [], root.findall("object")
    stated = _stated_size(root)
    height, width = stated if any(stated) or not objects else _real_size(path)
    for i, element in enumerate(objects, 1):
        row, reason = _checked(element, height, width, first_pixel)
        if reason:
            what = f"{reason}, {_shown(element, height, width)}; expected {_EXPECTED[reason]}"
            problems.append((reason, f"{file}: object {i}", what))
        if row:
            rows.append(row)
    return Annotated(path, stated, rows, problems)


def objects_of(annotated: Annotated, class_of: Mapping[str, int]) -> Objects:
    """Returns the objects of an image, with the numbers of their classes."""
    boxes, names, ignored, areas = zip(*annotated.rows, strict=True) if annotated.rows else ((), (), (), ())
    return Objects(boxes, [class_of[name] for name in names], ignored, areas)


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


def _checked(element, height, width, first_pixel):
    """Returns ((box, class name, ignored, area) or None, a reason to count the object or None)."""
    name = " ".join(element.findtext("name", "").split())
    if not name:
        return None, _NO_NAME
    x1, y1, x2, y2 = _numbers(element.find("bndbox"), _CORNERS)
    end = 1 - first_pixel
    corners = (y1 - first_pixel, x1 - first_pixel, y2 + end, x2 + end)
    box, reason = clipped_box(corners, height, width, 0 if first_pixel else ROUNDING)
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
