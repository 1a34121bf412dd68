"""Reads data sets of objects in COCO's format.

An annotation file and its images are found by the name NAME of a split: train, val, valid, validation or test, with
anything after it, such as train2017:

| annotations | images, in the first of these folders that has the first one |
|---|---|
| `annotations/instances_NAME.json` or `annotations/NAME.json` | `NAME/`, `images/NAME/`, `images/`, the folder itself |
| `NAME/_annotations.coco.json` (Roboflow) | `NAME/` |

Classes are the categories in the order of their ids, which may have gaps. An annotation that cannot be used is left
out and counted: see `_REASONS`.
"""

import json
import os
import re
from collections import Counter
from typing import Any

import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.image_set import ImageSet, complete
from keras_resnet.data.objects import Objects, split_of_objects
from keras_resnet.errors import ConfigError, DataError

_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_FILE = re.compile(r"(?:instances_)?((train|validation|valid|val|test)\w*)\.json")
_REASONS = {
    "id": "annotation id given twice",
    "image": "annotation of an unknown image",
    "category": "annotation of an unknown category",
    "box": "bbox is not four finite numbers",
    "size": "box without area",
    "outside": "box outside of its image",
    "clipped": "box clipped to its image",  # kept
}


def load_coco(data: Data) -> ImageSet:
    """Returns the data set of the folder in `data.name`.

    Raises:
        ConfigError: there is no folder or no annotation file of a training split.
        DataError: a file is not COCO's JSON, the files' categories differ, or an image is missing.
    """
    folder = data.name.partition(":")[2]
    if not os.path.isdir(folder):
        raise ConfigError(f"data.name: {data.name}: no such folder")
    files = _annotation_files(folder)
    if "train" not in files:
        raise ConfigError(
            f"data.name: {data.name}: has no annotations of a training split; expected "
            "annotations/instances_train*.json, annotations/train.json or train/_annotations.coco.json"
        )
    categories: dict[int, str] | None = None
    first, counts, splits = "", Counter[str](), {}
    for split, (path, folders) in files.items():
        content = _read(path)
        found = {each["id"]: each["name"] for each in content["categories"]}
        if categories is not None and found != categories:
            raise DataError(f"{path}: {_difference(found, categories)} {first}")
        if categories is None:
            categories, first = dict(sorted(found.items())), path
        splits[split] = _split(path, content, folders, {number: i for i, number in enumerate(categories)}, counts)
    assert categories is not None
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    return ImageSet(data.name, tuple(categories.values()), (None, None, 3), splits, dict(counts), target="boxes")


def _annotation_files(folder):
    """Returns {split: (annotation file, folders that may hold its images)}, the training split first."""
    found: dict[str, tuple] = {}
    annotations = os.path.join(folder, "annotations")
    for name in sorted(os.listdir(annotations)) if os.path.isdir(annotations) else []:
        match = _FILE.fullmatch(name)
        if match:
            images = [os.path.join(folder, match[1]), os.path.join(folder, "images", match[1])]
            images += [os.path.join(folder, "images"), folder]
            found.setdefault(_SPLITS[match[2]], (os.path.join(annotations, name), images))
    for name, split in _SPLITS.items():
        path = os.path.join(folder, name, "_annotations.coco.json")
        if os.path.isfile(path):
            found.setdefault(split, (path, [os.path.join(folder, name)]))
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def _read(path) -> dict[str, Any]:
    """Returns the content of an annotation file."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    for key, needed in (
        ("images", ("id", "file_name", "height", "width")),
        ("annotations", ("id", "image_id", "category_id", "bbox")),
        ("categories", ("id", "name")),
    ):
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise DataError(f"{path}: is not in COCO's format: it has no list {key}")
        for i, row in enumerate(rows):
            missing = [name for name in needed if not isinstance(row, dict) or name not in row]
            if missing:
                raise DataError(f"{path}: {key}[{i}] has no {missing[0]}")
    if not content["images"]:
        raise DataError(f"{path}: has no images")
    if not content["categories"]:
        raise DataError(f"{path}: has no categories")
    return content


def _difference(found, expected):
    number = min(number for number in found | expected if found.get(number) != expected.get(number))
    here, there = (f'"{each[number]}"' if number in each else "no category" for each in (found, expected))
    return f"category {number} is {here}, and {there} in"


def _split(path, content, folders, class_of, counts):
    images = {each["id"]: each for each in content["images"]}
    places = _image_files(path, list(images.values()), folders)
    objects: dict[Any, list] = {number: [] for number in images}
    seen: set = set()
    for annotation in content["annotations"]:
        reason, row = _checked(annotation, images, class_of, seen)
        seen.add(annotation["id"])
        if reason:
            counts[_REASONS[reason]] += 1
        if row:
            objects[annotation["image_id"]].append(row)
    paths = tf.constant(places)
    return split_of_objects(
        [Objects(*zip(*rows, strict=True)) if rows else Objects((), (), (), ()) for rows in objects.values()],
        lambda index: tf.io.read_file(tf.gather(paths, index)),
        lambda index: places[index],
    )


def _checked(annotation, images, class_of, seen):
    """Returns (name of a reason or None, (box, class, ignored, area) or None)."""
    if annotation["id"] in seen:
        return "id", None
    if annotation["image_id"] not in images:
        return "image", None
    if annotation["category_id"] not in class_of:
        return "category", None
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except (TypeError, ValueError):
        return "box", None
    if not all(abs(value) < 1e9 for value in (x, y, width, height)):  # also false for NaN
        return "box", None
    if width <= 0 or height <= 0:
        return "size", None
    image = images[annotation["image_id"]]
    box = (max(y, 0.0), max(x, 0.0), min(y + height, image["height"]), min(x + width, image["width"]))
    if box[2] <= box[0] or box[3] <= box[1]:
        return "outside", None
    # Corners that are rounded in the file may exceed the image by a fraction of a pixel.
    clipped = max(-y, -x, y + height - image["height"], x + width - image["width"]) > 1
    area = annotation.get("area") or (box[2] - box[0]) * (box[3] - box[1])
    row = (box, class_of[annotation["category_id"]], bool(annotation.get("iscrowd", 0)), area)
    return "clipped" if clipped else None, row


def _image_files(path, images, folders):
    """Returns the path of every image."""
    first = images[0]["file_name"]
    folder = next((each for each in folders if os.path.isfile(os.path.join(each, first))), folders[0])
    places = [os.path.join(folder, each["file_name"]) for each in images]
    missing = [place for place in places if not os.path.isfile(place)]
    if missing:
        raise DataError(f"{path}: {len(missing):,} of {len(places):,} images are missing, {missing[0]} for one")
    return places
