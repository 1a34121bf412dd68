"""Reads ImageNet's detection data (DET, 200 classes) in ILSVRC's layout, from the folder that holds these:

| file | read as |
|---|---|
| `ImageSets/DET/train_1.txt` to `train_200.txt` | training images: those with a class, labeled in full or in part |
| `ImageSets/DET/train.txt`, if it exists | training images, in place of these |
| `ImageSets/DET/val.txt` | validation images |
| `ImageSets/DET/test.txt` | test images, if all have annotations; ILSVRC's are not published |
| `Annotations/DET/SET/NAME.xml` | the objects of the image NAME; SET is the word train, val or test in NAME |
| `Data/DET/SET/NAME.JPEG` | the image |

`data.split_lists` names other lists of that folder, such as `val1` and `val2`. A label of -1 in the second column
leaves an image out. So does a missing annotation of a training image, which by ILSVRC's kit is one without a labeled
object: it was checked for some classes, and may have objects of the others. An annotated image without objects is
background.

ILSVRC counts pixels from 0 (annotations have corners at 0) and includes the last (its kit adds 1 to widths), so xmin to
xmax is [xmin, xmax + 1] here. An object of another class than the 200 is left out and is a finding.
"""

import os
import re
from collections import Counter
from dataclasses import replace

from keras_resnet.config import Data
from keras_resnet.data.image_set import ImageSet
from keras_resnet.data.imagenet_det_classes import SYNSETS
from keras_resnet.data.listed_images import annotated_set, read_annotated
from keras_resnet.data.split_lists import ImageList, Layout, distinct, read_lines
from keras_resnet.data.voc_annotations import Annotated, read_annotation
from keras_resnet.errors import ConfigError, DataError, one_line

_NO_OBJECT = "training image without a labeled object"
_OTHER_CLASS = "object of another class than the 200"
_SET = re.compile(
    r"(?:.*_)?(train|val|test)(?:_.*)?"
)  # in the first part of a name: ILSVRC2013_train, ..._val_00000001


def load_imagenet_det(data: Data) -> ImageSet:
    """Returns the data set of the folder in `data.name`; missing images are its `problems`.

    Raises:
        ConfigError: the folder, or a list, does not exist.
        DataError: a list or an annotation cannot be read, or an image is in two lists.
    """
    counts: Counter[str] = Counter()
    found = read_annotated(data, DetLayout(), _image, counts)
    class_of = {synset: i for i, synset in enumerate(SYNSETS)}
    return annotated_set(data, found, class_of, tuple(SYNSETS.values()), counts)


class DetLayout(Layout):
    """The lists in `ImageSets/DET`: a name and, in a second column, a label or a number."""

    lists = os.path.join("ImageSets", "DET")
    annotations = os.path.join("Annotations", "DET")
    class_lists = re.compile(r"train_\d+")

    def default(self, data, counts):
        """Returns the lists of the training, validation and test images."""
        folder = data.name.partition(":")[2]
        splits = (("train", "train"), ("validation", "val"), ("test", "test"))
        read = {split: [found] for split, name in splits if (found := self.read(folder, name, counts))}
        if "train" not in read:
            what = f"has no {os.path.join(self.lists, 'train_1.txt')} or train.txt"
            raise ConfigError(f"data.name: {data.name}: {what}; expected a folder with Data, Annotations and ImageSets")
        return read

    def read(self, folder, name, counts) -> ImageList | None:
        """Returns a list by its name; `train` is all lists of a class if there is no train.txt."""
        lists = os.path.join(folder, self.lists)
        path = os.path.join(lists, f"{name}.txt")
        if os.path.isfile(path):
            paths, of_classes = [path], bool(self.class_lists.fullmatch(name))
        else:
            paths, of_classes = self._of_classes(lists) if name == "train" else [], True
        if not paths:
            return None
        names, others = _labeled(paths)
        found = distinct(names, Counter() if of_classes else counts)  # lists of classes share images
        whole = self.image_list(path if len(paths) == 1 else os.path.join(lists, "train_*.txt"), folder, found)
        kept = whole if of_classes else self._annotated(whole)  # an image of a class needs its annotation
        left_out = len(whole.names) - len(kept.names) + others
        counts.update({_NO_OBJECT: left_out} if left_out else {})
        return kept

    def _of_classes(self, lists):
        """Returns the lists of training images by class, in the order of the classes."""
        files = os.listdir(lists) if os.path.isdir(lists) else []
        found = [each for each in files if re.fullmatch(rf"{self.class_lists.pattern}\.txt", each)]
        return [os.path.join(lists, each) for each in sorted(found, key=lambda each: int(each[6:-4]))]

    def _annotated(self, listed):
        """Returns a list without the training images that have no annotation."""
        training = os.path.join("train", "")
        rows = zip(listed.names, listed.annotations, strict=True)
        names = [name for name, file in rows if not name.startswith(training) or os.path.isfile(file)]
        return self.image_list(listed.path, listed.folder, names)


def _labeled(paths) -> tuple[list[str], int]:
    """Returns the names in lists, behind the folders of their sets, and the number of images without the class.

    ILSVRC's lists of classes have 13 million lines, most of them of images without the class.
    """
    names, labeled, others = [], set(), set()
    for path in paths:
        for line in read_lines(path):
            name, *columns = line.split()
            if columns[:1] == ["-1"]:
                others.add(name)
            else:
                labeled.add(name)
                names.append(_image_name(name, path))
    return names, len(others - labeled)


def _image_name(name, path):
    """Returns the name of an image behind the folder of its set, such as val/ILSVRC2013_val_00000001."""
    match = _SET.fullmatch(name.partition("/")[0])
    if not match or ".." in name.split("/"):
        what = f"{one_line(name, 60)} is no image of the sets train, val and test"
        raise DataError(f"{path}: {what}; expected a name such as ILSVRC2013_val_00000001")
    return os.path.join(match[1], name)


def _image(folder, name, file) -> Annotated:
    path = os.path.join(folder, "Data", "DET", f"{name}.JPEG")
    image = read_annotation(file, lambda named: path, first_pixel=0)
    what = "is of the class {}; expected one of the 200 WordNet ids"
    others = [(_OTHER_CLASS, file, what.format(one_line(row[1], 40))) for row in image.rows if row[1] not in SYNSETS]
    rows = [row for row in image.rows if row[1] in SYNSETS]
    return replace(image, rows=rows, problems=image.problems + others)
