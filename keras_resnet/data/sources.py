"""Loads sets of images by the kind that `data.name` begins with: one row of a table for each kind."""

import pkgutil
from dataclasses import replace

from keras_resnet.config import Data
from keras_resnet.data.image_set import ImageSet, Target
from keras_resnet.errors import ConfigError, DataError

_LOADERS = {
    "digits": "keras_resnet.data.embedded:load_digits",
    "scene_digits": "keras_resnet.data.scenes:load_scene_digits",
    "scenes": "keras_resnet.data.scenes:load_scenes",
    "scene_objects": "keras_resnet.data.scenes:load_scene_objects",
    "synthetic": "keras_resnet.data.embedded:load_synthetic",
    "tfds": "keras_resnet.data.tfds:load_tfds",
    "folder": "keras_resnet.data.folder:load_folder",
    "csv": "keras_resnet.data.csv_set:load_csv",
    "coco": "keras_resnet.data.coco:load_coco",
    "voc": "keras_resnet.data.voc:load_voc",
    "imagenet_det": "keras_resnet.data.imagenet_det:load_imagenet_det",
    "imagenet_loc": "keras_resnet.data.annotated:load_imagenet_loc",
    "annotated": "keras_resnet.data.annotated:load_annotated",
    "tfrecord": "keras_resnet.data.tfrecord:load_tfrecord",
}
_WITH_MASKS = ("coco", "scenes", "tfrecord")
_TARGETS: dict[Target, str] = {
    "label": "a class for each image",
    "labels": "several labels for each image",
    "boxes": "boxes",
}


def open_image_set(data: Data, masks: bool = False) -> ImageSet:
    """Returns the set of images that a configuration names, also if it has `problems`.

    Args:
        data: the configuration.
        masks: read the masks of objects too, where the set has them.

    Raises:
        ConfigError: the set does not exist, or cannot be used as configured.
        DataError: the data is not a set of images.
    """
    kind = data.name.partition(":")[0]
    arguments = {"masks": True} if masks and kind in _WITH_MASKS else {}
    images: ImageSet = pkgutil.resolve_name(_LOADERS[kind])(data, **arguments)
    return images


def load_image_set(data: Data, target: Target | None = "label", masks: bool = False) -> ImageSet:
    """Loads the set of images that a configuration names; an image of another size than stated is unreadable.

    Args:
        data: the configuration.
        target: what the caller needs beside each image; None: anything.
        masks: whether the caller needs a mask of each object.

    Raises:
        ConfigError: the set does not exist, cannot be used as configured, or has other targets or no masks.
        DataError: the data is not a set of images, or has problems.
    """
    kind = data.name.partition(":")[0]
    if masks and kind not in _WITH_MASKS:
        raise ConfigError(f"data.name: {data.name}: masks are read from {', '.join(_WITH_MASKS)}, not from {kind}")
    images = open_image_set(data, masks)
    if target and images.target != target:
        raise ConfigError(f"data.name: {data.name} has {_TARGETS[images.target]}, and this needs {_TARGETS[target]}")
    if images.problems:
        more = len(images.problems) - 1
        rest = f" (verify-data lists {more:,} more)" if more else ""
        raise DataError(f"data.name: {data.name}: {images.problems[0]}{rest}")
    checked = {id(split): split.with_stated_sizes() for split in images.splits.values()}
    return replace(images, splits={name: checked[id(split)] for name, split in images.splits.items()})
