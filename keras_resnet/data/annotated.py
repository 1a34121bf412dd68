"""Reads images of one class each, with annotations in Pascal VOC's format: ImageNet's, and those of any folder.

| set | images | annotations |
|---|---|---|
| `imagenet_loc:PATH` | `Data/CLS-LOC/train/SYNSET/NAME.JPEG`, `Data/CLS-LOC/val/NAME.JPEG` | `Annotations/` alike |
| `annotated:PATH` | at any depth of PATH, or of `train`, `val` and `test` in it | `NAME.xml` beside the image |

Images without an annotation are no part of a set and are counted: ImageNet has boxes for less than half of its training
images. The same holds for annotations without a usable object. Classes are ImageNet's synsets in their order, or the
names of all objects in alphabetical order. An image with objects of several classes is a finding, and left out.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from keras_resnet.config import Data
from keras_resnet.data.folder_tree import list_images
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import Finding, ImageSet
from keras_resnet.data.objects import missing_images, split_of_files
from keras_resnet.data.threads import map_in_threads
from keras_resnet.data.voc_annotations import Annotated, objects_of, read_annotation
from keras_resnet.errors import ConfigError, DataError

_PART = "CLS-LOC"
_MAPPING = "LOC_synset_mapping.txt"  # beside the folders, in Kaggle's archive
_SPLITS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
_NO_ANNOTATION, _NO_OBJECT, _SEVERAL = "image without an annotation", "image without an object", "several classes"


def load_imagenet_loc(data: Data) -> ImageSet:
    """Returns ImageNet's images with boxes, from the folder that holds `Data` and `Annotations`.

    Raises:
        ConfigError: the folder, or one of these, does not exist.
        DataError: an annotation cannot be read, or no image has one.
    """
    folder = data.name.partition(":")[2]
    images, annotations = (os.path.join(folder, name, _PART) for name in ("Data", "Annotations"))
    for path in (images, annotations):
        if not os.path.isdir(os.path.join(path, "train")):
            raise ConfigError(f"data.name: {data.name}: has no folder {os.path.join(path, 'train')}")
    counts: Counter[str] = Counter()
    found = {}
    for split, name in (("train", "train"), ("validation", "val")):
        files = list(_files(os.path.join(annotations, name), ".xml"))
        counts[_NO_ANNOTATION] += sum(1 for _ in _files(os.path.join(images, name), ".JPEG")) - len(files)
        print(f"reading {len(files):,} annotations of {name}", file=sys.stderr, flush=True)  # up to a minute or two

        def read(file):
            there = os.path.relpath(file, annotations).removesuffix(".xml") + ".JPEG"
            return read_annotation(file, _always(os.path.join(images, there)), first_pixel=0)

        found[split] = list(map_in_threads(read, files))
    synsets = sorted(each.name for each in os.scandir(os.path.join(images, "train")) if each.is_dir())
    return _set_of(data, {split: rows for split, rows in found.items() if rows}, counts, synsets, _names(folder))


def load_annotated(data: Data) -> ImageSet:
    """Returns the images of a folder whose annotations are beside them.

    Raises:
        ConfigError: the folder does not exist.
        DataError: an annotation cannot be read, or no image has one.
    """
    folder = data.name.partition(":")[2]
    if not os.path.isdir(folder):
        raise ConfigError(f"data.name: {data.name}: no such folder")
    counts: Counter[str] = Counter()
    found = {split: _beside(path, counts) for split, path in _folders(data, folder).items()}
    return _set_of(data, {split: rows for split, rows in found.items() if rows or split == "train"}, counts)


def _files(folder, suffix) -> Iterable[str]:
    """Yields the files in a folder and the folders in it, sorted by name."""
    if not os.path.isdir(folder):
        return
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        if entry.is_dir():
            yield from (
                os.path.join(entry.path, name) for name in sorted(os.listdir(entry.path)) if name.endswith(suffix)
            )
        elif entry.name.endswith(suffix):
            yield entry.path


def _folders(data, folder):
    """Returns {split: folder}; all images are for training if there is no folder of that name."""
    there = {
        split: [path for name in names if os.path.isdir(path := os.path.join(folder, name))]
        for split, names in _SPLITS.items()
    }
    for split, paths in there.items():
        if len(paths) > 1:
            raise DataError(f"data.name: {data.name}: {paths[0]} and {paths[1]} are both for {split}; expected one")
    others = [path for paths in there.values() for path in paths]
    if not there["train"]:
        if others:
            raise DataError(f"data.name: {data.name}: has {others[0]}, but no folder train")
        return {"train": folder}
    return {split: paths[0] for split, paths in there.items() if paths}


def _always(path):
    """Returns a function of the file name in an annotation that returns `path`: the layout tells where images are."""
    return lambda _: path


def _beside(folder, counts) -> list[Annotated]:
    found = []
    for path in sorted(list_images(folder)):
        file = os.path.splitext(path)[0] + ".xml"
        if os.path.isfile(file):
            found.append(read_annotation(file, _always(path)))
        else:
            counts[_NO_ANNOTATION] += 1
    return found


def _names(folder) -> dict[str, str]:
    """Returns {synset: its name} of the archive's list, empty if there is none."""
    path = os.path.join(folder, _MAPPING)
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8") as file:
        pairs = [line.rstrip("\n").partition(" ") for line in file]
    return {synset: name for synset, _, name in pairs if name}


def _set_of(data, found: dict[str, list[Annotated]], counts, classes=(), names=None) -> ImageSet:
    """Returns the set of annotated images; `names` are shown for classes, by their names in the annotations."""
    findings = _findings(found)
    counts.update(finding.kind for finding in findings)
    counts[_NO_OBJECT] += sum(not image.rows for images in found.values() for image in images)
    kept = {split: [each for each in images if len(_classes(each)) == 1] for split, images in found.items()}
    if not kept.get("train"):
        raise DataError(f"data.name: {data.name}: no training image has an annotation with an object of one class")
    used = {name for images in kept.values() for image in images for name in _classes(image)}
    labels = tuple(classes) or tuple(sorted(used))
    if unknown := sorted(used - set(labels)):
        raise DataError(f"data.name: {data.name}: objects of {unknown[0]}, which is no folder of training images")
    class_of = {name: i for i, name in enumerate(labels)}
    splits, problems = {}, []
    for split, images in kept.items():
        paths = [image.path for image in images]
        problems += missing_images("an annotation", split, paths)
        sizes = np.array([image.stated_size for image in images])
        of_files = split_of_files(paths, [objects_of(image, class_of) for image in images], sizes)
        numbers = np.array([class_of[image.rows[0][1]] for image in images], np.int32)
        splits[split] = replace(of_files, labels=numbers)
    splits = complete(splits, data.validation_fraction, data.test_fraction)  # by class
    with_objects = {id(split): replace(split, labels=None) for split in splits.values()}
    splits = {name: with_objects[id(split)] for name, split in splits.items()}
    shown = tuple((names or {}).get(label, label) for label in labels)
    passed_over = {kind: count for kind, count in counts.items() if count > 0}
    return ImageSet(
        data.name,
        shown,
        (None, None, 3),
        splits,
        passed_over,
        target="boxes",
        findings=tuple(findings),
        problems=tuple(problems),
    )


def _findings(found) -> list[Finding]:
    findings = []
    for split, images in found.items():
        findings += [Finding(kind, split, *rest) for image in images for kind, *rest in image.problems]
        findings += [_several(split, image) for image in images if len(_classes(image)) > 1]
    return findings


def _classes(image):
    return {row[1] for row in image.rows}


def _several(split, image):
    what = f"has objects of {', '.join(sorted(_classes(image)))}; expected one class"
    return Finding(_SEVERAL, split, image.path, what)
