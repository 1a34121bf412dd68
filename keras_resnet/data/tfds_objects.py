"""Reads the data sets of TensorFlow Datasets whose images have objects with boxes, such as `coco/2017` and `voc/2012`.

| feature | read as |
|---|---|
| `objects/bbox` | y1 x1 y2 x2 in pixels: the stored shares of the image's height and width times its size |
| `objects/label` | the class |
| `objects/is_crowd`, `objects/is_difficult` | ignored |
| `objects/area` | the area; without it, that of the box |

A box without area is left out; `verify` names it.
"""

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.decode import image_size
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import ImageSet, Split
from keras_resnet.data.objects import objects_in_pixels, unusable_boxes
from keras_resnet.data.records import Records, reader

_IGNORED = ("is_crowd", "is_difficult")
_KEYS = ("bbox", "label", "area", *_IGNORED)
_FIRST_PIXEL = {"voc": 1.0}  # sets whose boxes count pixels from 1 and include the last one
_TRIED = 10  # images of a split without an object from which the split has no annotations


def has_objects(features) -> bool:
    """Returns whether a set's images have objects with one class and one box each."""
    from tensorflow_datasets.core.features import BBoxFeature, ClassLabel, FeaturesDict, Image, Sequence

    def has(group, key, kind):
        return key in group and isinstance(group[key], kind)

    if not (has(features, "image", Image) and has(features, "objects", Sequence)):
        return False
    each = features["objects"].feature
    return isinstance(each, FeaturesDict) and has(each, "bbox", BBoxFeature) and has(each, "label", ClassLabel)


def load_objects(builder, data: Data, records: dict[str, Records]) -> ImageSet:
    """Returns the set of a builder for which `has_objects` is true; `records` are those of each split."""
    features = builder.info.features
    splits = {name: _split(builder, each) for name, each in records.items()}
    # The test splits of COCO and of VOC 2012 are images alone.
    bare = [name for name, split in splits.items() if name != "train" and not _has_annotations(split)]
    passed_over = {f"image of {name}, which has no objects and is no split": splits.pop(name).size for name in bare}
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    labels = tuple(features["objects"]["label"].names)
    return ImageSet(data.name, labels, features["image"].shape, splits, passed_over, target="boxes")


def _split(builder, records) -> Split:
    import tensorflow_datasets as tfds

    stored, encoded = builder.info.features, {"image": tfds.decode.SkipDecoding()}
    each = stored["objects"].feature
    objects = tfds.features.Sequence({key: each[key] for key in _KEYS if key in each})
    features = tfds.features.FeaturesDict({"image": stored["image"], "objects": objects})  # others are not parsed
    record, first = reader(records), _FIRST_PIXEL.get(builder.name, 0.0)

    def parsed(index):
        """Returns the bytes of the image, its size (2,) float32, its objects, and their boxes in pixels."""
        example = features.deserialize_example(record(index), decoders=encoded)
        objects, size = example["objects"], tf.cast(image_size(example["image"]), tf.float32)
        return example["image"], size, objects, objects["bbox"] * tf.tile(size, [2]) - [first, first, 0.0, 0.0]

    def read(index):
        image, size, objects, boxes = parsed(index)
        flags = [objects[key] for key in _IGNORED if key in objects]
        ignored = tf.reduce_any(tf.stack(flags), 0) if flags else tf.zeros_like(objects["label"], tf.bool)
        return image, objects_in_pixels(boxes, size, objects["label"], ignored, objects.get("area"))

    def unusable(index):
        _, size, _, boxes = parsed(tf.constant(index, tf.int64))
        return unusable_boxes(boxes, size, records.source(index))

    return Split(len(records), read, records.source, unusable=unusable)


def _has_annotations(split):
    tried = np.linspace(0, split.size - 1, min(_TRIED, split.size)).astype(np.int64)
    return any(len(split.read(tf.constant(index))[1]["classes"]) for index in tried)
