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

from keras_resnet.config import Data
from keras_resnet.data.image_set import ImageSet
from keras_resnet.data.listed_images import annotated_set, read_annotated
from keras_resnet.data.voc_annotations import Annotated, read_annotation
from keras_resnet.data.voc_lists import VocLayout

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
    counts: Counter[str] = Counter()
    found = read_annotated(data, VocLayout(), _image, counts)
    names = {row[1] for images in found.values() for _, image in images for row in image.rows}
    labels = LABELS if names <= set(LABELS) else tuple(sorted(names))
    return annotated_set(data, found, {name: i for i, name in enumerate(labels)}, labels, counts)


def _image(folder, name, file) -> Annotated:
    def path(named):
        path = os.path.join(folder, "JPEGImages", f"{name}.jpg")
        other = os.path.join(folder, "JPEGImages", os.path.basename(named))
        return other if named and not os.path.isfile(path) and os.path.isfile(other) else path

    return read_annotation(file, path)
