"""Reads data sets of objects in Pascal VOC's format, such as the folder VOCdevkit/VOC2012.

With `data.split_lists`, the folder has these files in a folder of each year, and no list is a split by its name.

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
from keras_resnet.data.voc_lists import ImageList, read_lists
from keras_resnet.errors import ConfigError

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


def load_voc(data: Data) -> ImageSet:
    """Returns the data set of the folder in `data.name`; missing images are its `problems`.

    Raises:
        ConfigError: the folder, or a list, does not exist.
        DataError: a list or an annotation cannot be read, or an image is in two lists.
    """
    folder = data.name.partition(":")[2]
    if not os.path.isdir(folder):
        raise ConfigError(f"data.name: {data.name}: no such folder")
    counts: Counter[str] = Counter()
    lists = read_lists(data, counts)
    read = {split: [(each, _images(each)) for each in of_split] for split, of_split in lists.items()}
    found = {split: [image for _, images in parts for image in images] for split, parts in read.items()}
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
    problems = [
        problem
        for split, parts in read.items()
        for each, images in parts
        for problem in missing_images(each.path, split, [image.path for image in images])
    ]
    splits = {
        split: split_of_files(
            [image.path for image in images],
            [objects_of(image, class_of) for image in images],
            np.array([image.stated_size for image in images]),
        )
        for split, images in found.items()
    }
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    shape = (None, None, 3)
    return ImageSet(
        data.name, labels, shape, splits, counts, target="boxes", findings=findings, problems=tuple(problems)
    )


def _images(listed: ImageList) -> list[Annotated]:
    files = listed.annotations
    require_files(listed.path, "annotations", files)
    return [_image(listed.folder, name, file) for name, file in zip(listed.names, files, strict=True)]


def _image(folder, name, file) -> Annotated:
    def path(named):
        path = os.path.join(folder, "JPEGImages", f"{name}.jpg")
        other = os.path.join(folder, "JPEGImages", os.path.basename(named))
        return other if named and not os.path.isfile(path) and os.path.isfile(other) else path

    return read_annotation(file, path)
