"""Makes splits of images with objects: {"boxes": (R, 4), "classes": (R,), "ignored": (R,), "areas": (R,)} of each.

Where masks were asked for, they are there too: {"masks": (R,)}, the run lengths of each object's mask.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_resnet.data.image_set import Finding, Split
from keras_resnet.errors import DataError

NO_BOX, NO_AREA, OUTSIDE = "box is not four finite numbers", "box without area", "box outside of its image"
CLIPPED = "box clipped to its image"  # kept
ROUNDING = 1.0  # pixels by which a box may exceed its image without being counted
EXPECTED = {
    NO_BOX: "four finite numbers",
    NO_AREA: "a width and a height above 0",
    OUTSIDE: "a part inside of the image",
    CLIPPED: "all of it inside of the image",
}
Box = tuple[float, float, float, float]
_DTYPES = {"boxes": np.float32, "classes": np.int32, "ignored": np.bool_, "areas": np.float32}


@dataclass(frozen=True)
class Objects:
    """The objects of one image.

    Attributes:
        boxes: (R, 4), y1 x1 y2 x2 in pixels of the upright image.
        classes: (R,), from 0.
        ignored: (R,), whether finding the object is neither right nor wrong, as for COCO's crowds.
        areas: (R,) square pixels of the visible object.
        masks: of R objects, run lengths of the whole image as `keras_resnet.data.run_lengths.encode` writes them, b""
            for an object without a mask. None: they were not asked for.
    """

    boxes: ArrayLike
    classes: ArrayLike
    ignored: ArrayLike
    areas: ArrayLike
    masks: Sequence[bytes] | None = None


def split_of_objects(
    objects: Sequence[Objects],
    image: Callable,
    source: Callable[[int], str],
    stated_sizes: np.ndarray | None = None,
) -> Split:
    """Returns a split.

    Args:
        objects: of each image.
        image: index () int64 -> pixels or the bytes of a file, inside a graph.
        source: index -> the location of the image, for messages.
        stated_sizes: as in `Split`.
    """
    ends = np.cumsum([np.size(each.classes) for each in objects], dtype=np.int64)
    with tf.device("CPU:0"):
        rows = tf.constant(np.concatenate([[0], ends]).astype(np.int64))
        values = {
            name: tf.constant(_joined([getattr(each, name) for each in objects], dtype, name == "boxes"))
            for name, dtype in _DTYPES.items()
        }
        masks = [each.masks for each in objects if each.masks is not None]
        if masks:
            values["masks"] = tf.constant([mask for image in masks for mask in image], tf.string)

    def read(index):
        first, end = rows[index], rows[index + 1]
        return image(index), {name: value[first:end] for name, value in values.items()}

    most = max(np.size(each.classes) for each in objects)
    of_image = (lambda index: objects[index].masks) if masks else None
    return Split(len(objects), read, source, stated_sizes=stated_sizes, max_objects=most, masks=of_image)


def split_of_files(paths: Sequence[str], objects: Sequence[Objects], stated_sizes: np.ndarray | None = None) -> Split:
    """Returns a split whose images are files.

    Args:
        paths: of each image.
        objects: of each image.
        stated_sizes: as in `Split`.
    """
    with tf.device("CPU:0"):
        all_paths = tf.constant(paths)
    return split_of_objects(
        objects,
        lambda index: tf.io.read_file(tf.gather(all_paths, index)),
        lambda index: paths[index],
        stated_sizes,
    )


def missing_images(listed_in: str, split: str, paths: Sequence[str]) -> list[Finding]:
    """Returns a finding for each file of a split that does not exist; `listed_in` is the file that lists them."""
    what = f"no such file; {listed_in} lists it"
    return [Finding("missing image", split, path, what) for path in paths if not os.path.isfile(path)]


def require_files(listed_in: str, what: str, paths: Sequence[str]) -> None:
    """Raises `DataError` if a file is missing; `what` says in the plural what the files are."""
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise DataError(f"{listed_in}: {len(missing):,} of {len(paths):,} {what} are missing, {missing[0]} for one")


def clipped_box(box: Box, height: float, width: float, tolerance: float = 0) -> tuple[Box | None, str | None]:
    """Clips a box, y1 x1 y2 x2 in pixels, to its image.

    Returns:
        The box, None if it cannot be used; and a reason to count it, None if it sticks out by `tolerance` at most.
    """
    if not all(abs(value) < 1e9 for value in box):  # also false for NaN
        return None, NO_BOX
    y1, x1, y2, x2 = box
    if y2 <= y1 or x2 <= x1:
        return None, NO_AREA
    inside = (max(y1, 0.0), max(x1, 0.0), min(y2, height), min(x2, width))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        return None, OUTSIDE
    return inside, CLIPPED if max(-y1, -x1, y2 - height, x2 - width) > tolerance else None


def objects_in_pixels(boxes, size, classes, ignored, areas=None, masks=None) -> dict:
    """Returns the objects of an image inside a graph, clipped to it, without those that have no area in it.

    Args:
        boxes: (R, 4), y1 x1 y2 x2 in pixels.
        size: (2,) float32, height and width of the image.
        classes: (R,).
        ignored: (R,) bool.
        areas: (R,) square pixels; 0, or None for all objects: that of the box.
        masks: (R,) run lengths, or None.
    """
    boxes = tf.clip_by_value(boxes, 0.0, tf.tile(size, [2]))
    sides = boxes[:, 2:] - boxes[:, :2]
    of_boxes = sides[:, 0] * sides[:, 1]
    areas = of_boxes if areas is None else tf.where(areas > 0, tf.cast(areas, tf.float32), of_boxes)
    found = {"boxes": boxes, "classes": tf.cast(classes, tf.int32), "ignored": ignored, "areas": areas}
    found |= {} if masks is None else {"masks": masks}
    usable = tf.reduce_all(sides > 0, axis=-1)
    return {name: tf.boolean_mask(value, usable) for name, value in found.items()}


def unusable_boxes(boxes, size, source: str) -> list[tuple[str, str, str]]:
    """boxes (R, 4) in pixels, size (2,) of their image -> `Split.unusable` of an image at `source`."""
    height, width = np.asarray(size).tolist()
    problems = []
    for i, box in enumerate(np.asarray(boxes).tolist()):
        _, reason = clipped_box(tuple(box), height, width, ROUNDING)
        if reason:
            shown = ", ".join(f"{value:g}" for value in box)
            what = f"{reason}, y1 x1 y2 x2 {shown} in {width:.0f} x {height:.0f} pixels; expected {EXPECTED[reason]}"
            problems.append((reason, f"{source}, object {i}", what))
    return problems


def area_of(box: Box) -> float:
    """Returns the area of y1 x1 y2 x2."""
    return (box[2] - box[0]) * (box[3] - box[1])


def _joined(parts, dtype, of_boxes):
    shape = (-1, 4) if of_boxes else (-1,)
    return np.concatenate([np.asarray(part, dtype).reshape(shape) for part in parts])
