"""Makes splits of images with objects: {"boxes": (R, 4), "classes": (R,), "ignored": (R,), "areas": (R,)} of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_resnet.data.image_set import Split

_DTYPES = {"boxes": np.float32, "classes": np.int32, "ignored": np.bool_, "areas": np.float32}


@dataclass(frozen=True)
class Objects:
    """The objects of one image.

    Attributes:
        boxes: (R, 4), y1 x1 y2 x2 in pixels of the stored image.
        classes: (R,), from 0.
        ignored: (R,), whether finding the object is neither right nor wrong, as for COCO's crowds.
        areas: (R,) square pixels of the visible object.
    """

    boxes: ArrayLike
    classes: ArrayLike
    ignored: ArrayLike
    areas: ArrayLike


def split_of_objects(objects: Sequence[Objects], image: Callable, source: Callable[[int], str]) -> Split:
    """Returns a split.

    Args:
        objects: of each image.
        image: index () int64 -> pixels or the bytes of a file, inside a graph.
        source: index -> the location of the image, for messages.
    """
    ends = np.cumsum([np.size(each.classes) for each in objects], dtype=np.int64)
    with tf.device("CPU:0"):
        rows = tf.constant(np.concatenate([[0], ends]).astype(np.int64))
        values = {
            name: tf.constant(_joined([getattr(each, name) for each in objects], dtype, name == "boxes"))
            for name, dtype in _DTYPES.items()
        }

    def read(index):
        first, end = rows[index], rows[index + 1]
        return image(index), {name: value[first:end] for name, value in values.items()}

    return Split(len(objects), read, source)


def _joined(parts, dtype, of_boxes):
    shape = (-1, 4) if of_boxes else (-1,)
    return np.concatenate([np.asarray(part, dtype).reshape(shape) for part in parts])
