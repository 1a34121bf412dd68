"""Crops images together with their boxes: random crops for training, the center crop of evaluation.

A box is clipped to the crop. In training, it does not count if too little of it remains; the image then teaches its
class alone.
"""

from dataclasses import replace
from typing import NamedTuple

import tensorflow as tf

from keras_resnet.boxes.iou import area
from keras_resnet.config.localization import LocalizationData
from keras_resnet.data import transforms
from keras_resnet.data.decode import decode
from keras_resnet.data.image_set import ImageSet

_LEAST = 1.0  # side of a box in pixels below which it does not count


class Geometry(NamedTuple):
    """Where a crop is: a point of the image times `ratio`, minus `start`, is its point in the crop."""

    start: tf.Tensor  # (..., 2) float32, y and x in pixels of the crop
    ratio: tf.Tensor  # (..., 2) float32

    def to_crop(self, boxes):
        """boxes (..., R, 4) in pixels of the image -> in pixels of the crop, not clipped."""
        return boxes * _twice(self.ratio) - _twice(self.start)

    def to_image(self, boxes):
        """boxes (..., R, 4) in pixels of the crop -> in pixels of the image, not clipped."""
        return (boxes + _twice(self.start)) / _twice(self.ratio)


def _twice(pairs):
    return tf.concat([pairs, pairs], axis=-1)[..., None, :]


def center_geometry(shape, size: int, crop_pct: float = 1.0) -> Geometry:
    """Returns the geometry of `data.transforms.for_test` for an image of this shape (..., 2)."""
    shape = tf.cast(shape, tf.float32)
    side = tf.cast(round(size / crop_pct), tf.float32)
    scaled = tf.round(shape * (side / tf.reduce_min(shape, axis=-1, keepdims=True)))
    return Geometry(tf.math.floordiv(scaled - size, 2.0), scaled / shape)


def augmented(image, boxes, size: int, channels: int, data: LocalizationData, seed):
    """Stored image, boxes (R, 4) -> image (size, size, channels) float32, boxes (R, 4), whether each counts (R,) bool.

    The image has the pixels of `data.augmentation.augment`, but that the whole file is decoded.
    """
    seeds = tf.unstack(tf.random.split(seed, 6))  # as many as `augment` has, in its order
    pixels = decode(image, channels)
    choose = {
        "center": None,
        "scale_jitter": transforms.scale_crop(size, data.resize_range, seeds[0]),
        "random_resized": transforms.resized_crop(data.area_range, seeds[0], channels),
    }[data.crop]
    if choose is None:
        image, geometry = transforms.for_test(pixels, size), center_geometry(tf.shape(pixels)[:2], size)
    else:
        image, geometry = _cropped(pixels, choose(tf.shape(pixels)[0], tf.shape(pixels)[1]), size)
    whole = geometry.to_crop(boxes)
    if data.horizontal_flip:
        # The draw of `transforms.random_flip`.
        flips = tf.random.stateless_uniform((), seeds[2]) < 0.5
        image = tf.cond(flips, lambda: tf.reverse(image, [1]), lambda: image)
        y1, x1, y2, x2 = tf.unstack(whole, axis=-1)
        whole = tf.where(flips, tf.stack([y1, size - x2, y2, size - x1], axis=-1), whole)
    if data.pca_lighting and channels == 3:
        image = transforms.random_color(image, seeds[4])
    clipped = tf.clip_by_value(whole, 0.0, float(size))
    large = tf.reduce_all(clipped[:, 2:] - clipped[:, :2] >= _LEAST, axis=-1)
    return image, clipped, large & (area(clipped) >= data.min_box_share * area(whole))


def _cropped(pixels, box, size):
    """Returns the part (top, left, h, w) of an image, resized to a square, and its geometry."""
    top, left, height, width = tf.unstack(box)
    image = transforms.resized(pixels[top : top + height, left : left + width], size)
    ratio = size / tf.cast(tf.stack([height, width]), tf.float32)
    return image, Geometry(tf.cast(tf.stack([top, left]), tf.float32) * ratio, ratio)


def class_of(objects: dict):
    """Objects of an image -> their class () int32; fails if they have several classes or there is none."""
    classes = objects["classes"]
    one = (tf.size(classes) > 0) & tf.reduce_all(classes == tf.concat([classes, [0]], 0)[0])

    def fail():
        what = ["has ", tf.strings.as_string(tf.size(tf.unique(classes)[0])), " classes of objects; expected one"]
        tf.debugging.Assert(False, [tf.strings.join(what)])
        return 0

    return tf.cond(one, lambda: classes[0], fail)


def of_one_class(images: ImageSet) -> ImageSet:
    """Returns the set with the class of each image among its objects; an image of several classes is unreadable."""

    def checked(split):
        def read(index):
            image, objects = split.read(index)
            return image, objects | {"class": class_of(objects)}

        return replace(split, read=read)

    found = {id(split): checked(split) for split in images.splits.values()}  # validation may repeat another split
    return replace(images, splits={name: found[id(split)] for name, split in images.splits.items()})


def padded(boxes, counts, count: int):
    """boxes (R, 4), counts (R,) bool -> the first `count` of those that count, and which are no padding (count,)."""
    boxes = tf.boolean_mask(boxes, counts)[:count]
    found = tf.shape(boxes)[0]
    filled = tf.pad(boxes, [[0, count - found], [0, 0]])
    return tf.ensure_shape(filled, (count, 4)), tf.range(count) < found
