"""Reads data sets of objects in Pascal VOC's format, such as the folder VOCdevkit/VOC2012.

| file | read as |
|---|---|
| `ImageSets/Main/train.txt`, `val.txt`, `test.txt` | names of the images of the splits train, validation, test |
| `ImageSets/Main/trainval.txt`, without a `train.txt` | training images: all that are not in `val.txt` |
| `ImageSets/Main/test.txt`, if annotations of it are missing | no split; counted |
| `Annotations/NAME.xml` | the objects of the image NAME |
| `JPEGImages/NAME.jpg`; if missing, the file there of the annotation's `filename` | the image |

VOC counts pixels from 1 and includes the last, so xmin to xmax is [xmin - 1, xmax] here. A `difficult` object is
ignored in evaluation. Classes are VOC's twenty if all objects have these, else the names of all objects in alphabetical
order. An object that cannot be used is left out and is a finding.
"""

import os
from collections import Counter

import numpy as np

from keras_resnet.config import Data
from keras_resnet.data.image_set import Finding, ImageSet, complete
from keras_resnet.data.objects import missing_images, require_files, split_of_files
from keras_resnet.data.voc_annotations import Annotated, objects_of, read_annotation
from keras_resnet.errors import ConfigError, DataError, one_line

LABELS = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
_TWICE = "image named twice in a list"


def load_voc(data: Data) -> ImageSet:
    """Returns the data set of the folder in `data.name`; missing images are its `problems`.

    Raises:
        ConfigError: the folder, or the list of its training images, does not exist.
        DataError: a list or an annotation cannot be read, or an image is in two splits.
    """
    folder = data.name.partition(":")[2]
    if not os.path.isdir(folder):
        raise ConfigError(f"data.name: {data.name}: no such folder")
    counts: Counter[str] = Counter()
    lists = _lists(folder, counts)
    if "train" not in lists:
        raise ConfigError(
            f"data.name: {data.name}: has no ImageSets/Main/train.txt or trainval.txt; expected a folder such as "
            "VOCdevkit/VOC2012"
        )
    found = {}
    for split, (path, names) in lists.items():
        files = [os.path.join(folder, "Annotations", f"{name}.xml") for name in names]
        missing = sum(not os.path.isfile(file) for file in files)
        if split == "test" and missing:
            counts["missing annotation of test.txt, no split"] = missing
            continue
        require_files(path, "annotations", files)
        found[split] = [_image(folder, name, file) for name, file in zip(names, files, strict=True)]
    findings = tuple(
        Finding(kind, split, source, what)
        for split, images in found.items()
        for image in images
        for kind, source, what in image.problems
    )
    counts.update(finding.kind for finding in findings)
    names = {row[1] for images in found.values() for image in images for row in image.rows}
    labels = LABELS if names <= set(LABELS) else tuple(sorted(names))
    class_of = {name: i for i, name in enumerate(labels)}
    splits = {}
    problems: list[Finding] = []
    for split, images in found.items():
        paths = [image.path for image in images]
        problems += missing_images(lists[split][0], split, paths)
        sizes = np.array([image.stated_size for image in images])
        splits[split] = split_of_files(paths, [objects_of(image, class_of) for image in images], sizes)
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    shape = (None, None, 3)
    return ImageSet(
        data.name, labels, shape, splits, counts, target="boxes", findings=findings, problems=tuple(problems)
    )


def _lists(folder, counts):
    """Returns {split: (list file, names of its images)}; no image is in two splits."""
    main = os.path.join(folder, "ImageSets", "Main")
    paths = {name: os.path.join(main, f"{name}.txt") for name in ("train", "trainval", "val", "test")}
    read = {name: _names(path, counts) for name, path in paths.items() if os.path.isfile(path)}
    if "train" in read:
        read.pop("trainval", None)
    elif "trainval" in read:
        paths["train"] = paths["trainval"]
        others = set(read.get("val", ()))
        read["train"] = [name for name in read.pop("trainval") if name not in others]
    lists = {
        split: (paths[name], read[name])
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))
        if name in read
    }
    seen: dict[str, str] = {}
    for path, names in lists.values():
        if not names:
            raise DataError(f"{path}: has no images")
        for name in names:
            if name in seen:
                raise DataError(f"{path}: the image {name} is in {seen[name]} too")
        seen |= dict.fromkeys(names, path)
    return lists


def _names(path, counts):
    """Returns the names in a list."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None
    names = [line for line in lines if line]
    distinct = list(dict.fromkeys(names))
    if len(distinct) < len(names):
        counts[_TWICE] += len(names) - len(distinct)
    return distinct


def _image(folder, name, file) -> Annotated:
    def path(named):
        path = os.path.join(folder, "JPEGImages", f"{name}.jpg")
        other = os.path.join(folder, "JPEGImages", os.path.basename(named))
        return other if named and not os.path.isfile(path) and os.path.isfile(other) else path

    return read_annotation(file, path)
