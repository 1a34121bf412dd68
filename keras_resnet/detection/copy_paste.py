"""Pastes objects of another training image on an image, through their masks (Ghiasi et al. 2021).

The other image has its own scale and flip. Each of its objects is pasted with probability 0.5, at its place in that
image and with hard edges; those to be ignored are not. What is pasted hides what the image has there.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_resnet.data.object_masks import union_of_masks
from keras_resnet.detection.transforms import LEAST_SIDE

_LEAST_SHARE = 0.1  # of an object's visible part; with less of it left, the object is to be ignored
_CHOSEN = 0.5


class Draws(NamedTuple):
    """What is drawn for a training image.

    Attributes:
        pastes: () bool, whether objects are pasted on it.
        index: () int64, the image that they are from, which may be the same.
        choice: (2,), seed of the choice of objects.
        augmentation: (2,), seed of that image's augmentation.
    """

    pastes: tf.Tensor
    index: tf.Tensor
    choice: tf.Tensor
    augmentation: tf.Tensor


def draw(probability: float, size: int, seed) -> Draws:
    """Draws from the seed (2,) of a training image, for a split of `size` images."""
    pastes, index, choice, augmentation = tf.unstack(tf.random.split(tf.random.fold_in(seed, 1), 4))
    return Draws(
        tf.random.stateless_uniform((), pastes) < probability,
        tf.random.stateless_uniform((), index, 0, size, tf.int64),
        choice,
        augmentation,
    )


def chosen(objects, size, seed):
    """Objects with run lengths, size (2,) of their image -> (some of them, their union (H, W, 3) uint8, 0 or 255).

    The union is an image of three channels, which gets the scale and flip of the objects' image by the same code.
    """
    draws = tf.random.stateless_uniform(tf.shape(objects["classes"]), seed)
    taken = (draws < _CHOSEN) & ~objects["ignored"]
    objects = {name: tf.boolean_mask(value, taken) for name, value in objects.items()}
    union = tf.cast(union_of_masks(objects["masks"], size), tf.uint8) * 255
    return objects, tf.stack([union] * 3, axis=-1)


def pasted(image, objects, other, other_objects, union):
    """Returns (image (S, S, 3), objects) with the chosen objects of `other` (S, S, 3) pasted on the image.

    Both have objects as `keras_resnet.detection.transforms.augmented` returns them, with masks; it also returns the
    `union` (S, S, 3) of the chosen ones.
    """
    covered = union >= 127.5
    image = tf.where(covered, other, image)
    objects = visible(objects, covered[..., 0])
    return image, {name: tf.concat([value, other_objects[name]], axis=0) for name, value in objects.items()}


def visible(objects, covered):
    """Objects with masks, covered (S, S) bool -> the objects that are not wholly covered, as far as they are visible.

    A mask loses its covered cells. A box becomes that of the cells that are left, and an area their share of it. An
    object that nothing covers stays as it is.
    """
    side, cells = covered.shape[0], objects["masks"].shape[-1]
    y1, x1, y2, x2 = (value[:, None] for value in tf.unstack(objects["mask_boxes"], axis=-1))
    centers = (tf.range(cells, dtype=tf.float32) + 0.5) / cells
    y, x = (tf.cast(tf.floor(low + centers * (high - low)), tf.int32) for low, high in ((y1, y2), (x1, x2)))
    in_rows, in_columns = (y >= 0) & (y < side), (x >= 0) & (x < side)
    places = tf.clip_by_value(y, 0, side - 1)[:, :, None] * side + tf.clip_by_value(x, 0, side - 1)[:, None, :]
    hidden = tf.gather(tf.reshape(covered, [-1]), places)
    before = (objects["masks"] > 0) & in_rows[:, :, None] & in_columns[:, None, :]
    left = before & ~hidden
    whole, rest = (tf.reduce_sum(tf.cast(each, tf.float32), axis=[1, 2]) for each in (before, left))
    share = tf.where(rest < whole, tf.math.divide_no_nan(rest, whole), 1.0)

    boxes = tf.where((share < 1)[:, None], _box_of(left, objects["mask_boxes"], objects["boxes"]), objects["boxes"])
    objects = objects | {
        "boxes": boxes,
        "areas": objects["areas"] * share,
        "ignored": objects["ignored"] | (share < _LEAST_SHARE),
        "masks": tf.where(before & hidden, tf.zeros_like(objects["masks"]), objects["masks"]),
    }
    kept = (share == 1) | ((rest > 0) & tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE, axis=-1))
    return {name: tf.boolean_mask(value, kept) for name, value in objects.items()}


def _box_of(cells, mask_boxes, boxes):
    """cells (R, M, M) bool of mask_boxes (R, 4) -> the part of boxes (R, 4) that has all cells that are true."""
    ends = []
    for axis in (2, 1):
        any_cell = tf.cast(tf.reduce_any(cells, axis=axis), tf.int32)
        first, behind = tf.argmax(any_cell, 1), any_cell.shape[1] - tf.argmax(tf.reverse(any_cell, [1]), 1)
        ends.append(tf.cast(tf.stack([first, behind], axis=-1), tf.float32) / any_cell.shape[1])
    (top, bottom), (left, right) = (tf.unstack(each, axis=-1) for each in ends)
    starts, sizes = mask_boxes[:, :2], mask_boxes[:, 2:] - mask_boxes[:, :2]
    low = tf.maximum(boxes[:, :2], starts + tf.stack([top, left], axis=-1) * sizes)
    high = tf.minimum(boxes[:, 2:], starts + tf.stack([bottom, right], axis=-1) * sizes)
    return tf.concat([low, high], axis=-1)
