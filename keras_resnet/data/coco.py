"""Reads data sets of objects in COCO's format.

An annotation file and its images are found by the name NAME of a split: train, val, valid, validation or test, with
anything after it, such as train2017:

| annotations | images, in the first of these folders that has the first one |
|---|---|
| `annotations/instances_NAME.json` or `annotations/NAME.json` | `NAME/`, `images/NAME/`, `images/`, the folder itself |
| `NAME/_annotations.coco.json` (Roboflow) | `NAME/` |

Two annotation files for one split are refused. Classes are the categories in the order of their ids, which may have
gaps. An annotation that cannot be used is left out and is a finding.
"""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from keras_resnet.config import Data
from keras_resnet.data.coco_masks import NO_MASK, read_mask
from keras_resnet.data.folder_tree import name_problem
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import Finding, ImageSet
from keras_resnet.data.objects import (
    EXPECTED,
    NO_BOX,
    ROUNDING,
    Objects,
    area_of,
    clipped_box,
    missing_images,
    split_of_files,
)
from keras_resnet.errors import ConfigError, DataError, one_line

_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_FILE = re.compile(r"(?:instances_)?((train|validation|valid|val|test)\w*)\.json")
_TWICE, _NO_IMAGE = "annotation id given twice", "annotation of an unknown image"
_NO_CATEGORY = "annotation of an unknown category"
_KEY = {_TWICE: "id", _NO_IMAGE: "image_id", _NO_CATEGORY: "category_id"}  # other findings: bbox
_EXPECTED = EXPECTED | {_TWICE: "one", _NO_IMAGE: "an id in images", _NO_CATEGORY: "an id in categories"}
_ID = (int, str)
_MAX_SIDE = 10**9  # of an image in pixels; pycocotools takes no larger ones
_FIELDS: dict[str, dict[str, Any]] = {
    "images": {"id": _ID, "file_name": str, "height": (int, float), "width": (int, float)},
    "annotations": {"id": _ID, "image_id": _ID, "category_id": _ID, "bbox": object},
    "categories": {"id": int, "name": str},
}


def load_coco(data: Data, masks: bool = False) -> ImageSet:
    """Returns the data set of the folder in `data.name`; missing images are its `problems`.

    Args:
        data: the configuration.
        masks: read the objects' polygons and run lengths too. An object whose mask cannot be used is left out.

    Raises:
        ConfigError: the folder, or the annotations of its training images, do not exist; a split has two files.
        DataError: a file is not COCO's JSON, or the files' categories differ.
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
    first, splits = "", {}
    findings: list[Finding] = []
    missing: list[Finding] = []
    for split, (path, folders) in files.items():
        content = _read(path)
        found = {each["id"]: each["name"] for each in content["categories"]}
        if categories is not None and found != categories:
            raise DataError(f"{path}: {_difference(found, categories)} {first}")
        if categories is None:
            categories, first = dict(sorted(found.items())), path
        class_of = {number: i for i, number in enumerate(categories)}
        objects, problems = _objects(content, class_of, read_mask if masks else None)
        paths = _paths(content["images"], folders)
        missing += missing_images(path, split, paths)
        sizes = [[each[key] for key in ("height", "width")] for each in content["images"]]
        ids = tuple(each["id"] for each in content["images"])
        splits[split] = replace(split_of_files(paths, objects, np.array(sizes, np.float64)), ids=ids)
        findings += [Finding(reason, split, f"{path}: {source}", what) for reason, source, what in problems]
    assert categories is not None
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    counts = Counter(finding.kind for finding in findings)
    return ImageSet(
        data.name,
        tuple(categories.values()),
        (None, None, 3),
        splits,
        counts,
        target="boxes",
        findings=tuple(findings),
        problems=tuple(missing),
        category_ids=tuple(categories),
    )


def _annotation_files(folder):
    """Returns {split: (annotation file, folders that may hold its images)}, the training split first."""
    found: dict[str, tuple] = {}

    def add(split, path, images):
        if split in found:
            raise ConfigError(
                f"{path}: has annotations of the {split} split, as has {found[split][0]}; keep one of them"
            )
        found[split] = path, images

    annotations = os.path.join(folder, "annotations")
    for name in sorted(os.listdir(annotations)) if os.path.isdir(annotations) else []:
        match = _FILE.fullmatch(name)
        if match:
            images = [os.path.join(folder, match[1]), os.path.join(folder, "images", match[1])]
            images += [os.path.join(folder, "images"), folder]
            add(_SPLITS[match[2]], os.path.join(annotations, name), images)
    for name, split in _SPLITS.items():
        path = os.path.join(folder, name, "_annotations.coco.json")
        if os.path.isfile(path):
            add(split, path, [os.path.join(folder, name)])
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
    for key, fields in _FIELDS.items():
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise DataError(f"{path}: is not in COCO's format: it has no list {key}")
        for i, row in enumerate(rows):
            for name, kind in fields.items():
                if not isinstance(row, dict) or name not in row:
                    raise DataError(f"{path}: {key}[{i}] has no {name}")
                if not isinstance(row[name], kind):
                    raise DataError(f"{path}: {key}[{i}] has the {name} {one_line(repr(row[name]), 40)}")
            if problem := _problem(row, key):
                raise DataError(f"{path}: {key}[{i}] has the {problem}")
    if not content["images"]:
        raise DataError(f"{path}: has no images")
    if not content["categories"]:
        raise DataError(f"{path}: has no categories")
    for key in ("images", "categories"):
        number, count = Counter(each["id"] for each in content[key]).most_common(1)[0]
        if count > 1:
            raise DataError(f"{path}: {count:,} of its {key} have the id {one_line(number, 60)}")
    return content


def _problem(row, key):
    """Returns what is wrong with a value of an image or a category, None if nothing is."""
    for name in {"images": ("file_name",), "categories": ("name",)}.get(key, ()):
        if problem := name_problem(row[name]) or (None if row[name].strip() else "it is empty"):
            return f"{name} {row[name]!a}: {problem}"
    for name in ("height", "width") if key == "images" else ():
        if not 0 <= row[name] < _MAX_SIDE:  # also true for NaN
            return f"{name} {one_line(repr(row[name]), 40)}; expected a number of pixels below {_MAX_SIDE:,}"
    return None


def _difference(found, expected):
    number = min(number for number in found | expected if found.get(number) != expected.get(number))
    here, there = (f'"{each[number]}"' if number in each else "no category" for each in (found, expected))
    return f"category {number} is {here}, and {there} in"


def _objects(content, class_of, mask_of):
    """Returns (the objects of each image, [(reason, annotation, description)]); `mask_of` reads masks, if not None."""
    images = {each["id"]: each for each in content["images"]}
    found: dict[Any, list] = {number: [] for number in images}
    problems: list[tuple[str, str, str]] = []
    seen: set = set()
    for annotation in content["annotations"]:
        row, reason = _checked(annotation, images, class_of, seen)
        seen.add(annotation["id"])
        if row and mask_of:
            image = images[annotation["image_id"]]
            try:
                row = (*row, mask_of(annotation.get("segmentation"), image["height"], image["width"]))
            except ValueError as error:
                row, reason = None, NO_MASK
                problems.append((reason, f"annotation {one_line(annotation['id'], 60)}", f"{reason}: {error}"))
                continue
        if reason:
            key = _KEY.get(reason, "bbox")
            value = f"{key} {one_line(repr(annotation[key]), 60)}"
            if key == "bbox":
                image = images[annotation["image_id"]]
                value += f" in {image['width']} x {image['height']} pixels"
            source, what = (
                f"annotation {one_line(annotation['id'], 60)}",
                f"{reason}, {value}; expected {_EXPECTED[reason]}",
            )
            problems.append((reason, source, what))
        if row:
            found[annotation["image_id"]].append(row)
    none = Objects((), (), (), (), () if mask_of else None)
    return [Objects(*zip(*rows, strict=True)) if rows else none for rows in found.values()], problems


def _paths(images, folders):
    """Returns the path of each image, in the first folder that has the first one."""
    first = images[0]["file_name"]
    folder = next((each for each in folders if os.path.isfile(os.path.join(each, first))), folders[0])
    return [os.path.join(folder, each["file_name"]) for each in images]


def _checked(annotation, images, class_of, seen):
    """Returns ((box, class, ignored, area) or None, a reason to count the annotation or None)."""
    if annotation["id"] in seen:
        return None, _TWICE
    if annotation["image_id"] not in images:
        return None, _NO_IMAGE
    if annotation["category_id"] not in class_of:
        return None, _NO_CATEGORY
    bbox = annotation["bbox"]
    try:
        x, y, width, height = map(float, bbox if isinstance(bbox, list) else ())  # not the digits of a text
    except (TypeError, ValueError, OverflowError):
        return None, NO_BOX
    image = images[annotation["image_id"]]
    box, reason = clipped_box((y, x, y + height, x + width), image["height"], image["width"], ROUNDING)
    if box is None:
        return None, reason
    area = annotation.get("area")
    if not isinstance(area, int | float) or not 0 < area < 1e18:
        area = area_of(box)
    return (box, class_of[annotation["category_id"]], annotation.get("iscrowd") == 1, area), reason
