"""Reads the objects of records in tf-models-official's layout for detection, and their masks if `prepare` stored them.

Boxes are shares of the image's height and width, labels count from 1. The layout has `image/object/mask`, a PNG of the
whole image for each object. Run lengths are a few hundred bytes, and a graph reads them without unpacking them
(`object_masks`); their feature has another name, so that no reader of the layout takes them for PNG files.
"""

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_resnet.data.decode import image_size
from keras_resnet.data.image_set import Split
from keras_resnet.data.object_masks import required_masks
from keras_resnet.data.objects import objects_in_pixels, unusable_boxes
from keras_resnet.data.records import Records, reader
from keras_resnet.data.run_lengths import decode, encode

CORNERS = tuple(f"image/object/bbox/{name}" for name in ("ymin", "xmin", "ymax", "xmax"))
OBJECT_LABEL, IS_CROWD, AREA = "image/object/class/label", "image/object/is_crowd", "image/object/area"
MASKS = "image/object/mask_run_lengths"
SIZE = ("image/height", "image/width")
OBJECT_FEATURES = (
    {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    | {name: tf.io.FixedLenFeature([], tf.int64, 0) for name in SIZE}
    | {name: tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True) for name in (*CORNERS, AREA)}
    | {name: tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True) for name in (OBJECT_LABEL, IS_CROWD)}
)
MASK_FEATURES = {MASKS: tf.io.FixedLenSequenceFeature([], tf.string, allow_missing=True)}


def split_of_records(records: Records, classes: int, masks: bool) -> Split:
    """Converts records of the layout for detection to a split; with `masks`, objects have theirs."""
    record, stored = reader(records), OBJECT_FEATURES | (MASK_FEATURES if masks else {})

    def parsed(index):
        """Returns the features of a record, the size of its image (2,) float32, and the boxes in pixels."""
        features = tf.io.parse_single_example(record(index), stored)
        stated = [tf.cast(features[name], tf.int32) for name in SIZE]
        size = tf.cast(image_size(features["image/encoded"], stated), tf.float32)
        return features, size, tf.stack([features[name] for name in CORNERS], axis=-1) * tf.tile(size, [2])

    def read(index):
        features, size, boxes = parsed(index)
        labels, count = features[OBJECT_LABEL], tf.shape(boxes)[0]
        wrong = tf.boolean_mask(labels, (labels < 1) | (labels > classes))
        first = tf.strings.as_string(tf.concat([wrong, [0]], 0)[0])
        what = tf.strings.join(["its label is ", first, f"; expected 1 to {classes}"])
        tf.debugging.Assert(tf.size(wrong) == 0, [what])
        crowd, areas = (_or_zeros(features[name], count) for name in (IS_CROWD, AREA))
        of_objects = required_masks(features[MASKS], count, size) if masks else None
        return features["image/encoded"], objects_in_pixels(boxes, size, labels - 1, crowd > 0, areas, of_objects)

    def unusable(index):
        _, size, boxes = parsed(tf.constant(index, tf.int64))
        return unusable_boxes(boxes, size, records.source(index))

    only_masks = tf.function(lambda index: read(index)[1]["masks"], autograph=False)

    def masks_of(index):
        with tf.device("CPU:0"):
            return only_masks(tf.constant(index, tf.int64)).numpy().tolist()

    return Split(len(records), read, records.source, unusable=unusable, masks=masks_of if masks else None)


def _or_zeros(values, count):
    """Returns zeros (count,) for a feature that the record lacks."""
    return tf.cond(tf.size(values) > 0, lambda: values, lambda: tf.zeros([count], values.dtype))


def resized_mask(content: bytes, size: tuple[int, int], new_size: tuple[int, int]) -> bytes:
    """Returns the run lengths of a mask in an image of `size` (height, width) that is resized to `new_size`.

    A pixel belongs to the object if the object covers half of it; if it covers half of none, the pixel that it covers
    most.
    """
    if size == new_size:
        return content
    mask = Image.fromarray(decode(content, size).astype(np.float32))
    covered = np.asarray(mask.resize(new_size[::-1], Image.Resampling.BOX))
    return encode((covered >= min(0.5, covered.max())) & (covered > 0))
