"""Reads which images are in which split, for data sets that list them as Pascal VOC does."""

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionData
from keras_resnet.errors import ConfigError, DataError, one_line, suggest

_TWICE = "image named twice in a list"


@dataclass(frozen=True)
class ImageList:
    """A list of images.

    Attributes:
        path: its file.
        folder: the folder that has the annotations and images.
        names: of its images, each once.
        annotations: the annotation file of each image.
    """

    path: str
    folder: str
    names: tuple[str, ...]
    annotations: tuple[str, ...]


Lists = dict[str, list[ImageList]]  # of each split, the training split first


class Layout(ABC):
    """The places of a data set's lists and annotations in the folder of its images, and how lists are read.

    Attributes:
        lists: the folder of the lists.
        annotations: the folder of the annotations.
        class_lists: matches names of lists of one class, which messages do not offer.
    """

    lists: ClassVar[str]
    annotations: ClassVar[str]
    class_lists: ClassVar[re.Pattern[str]]

    @abstractmethod
    def default(self, data: Data, counts: Counter[str]) -> Lists:
        """Returns the lists of a set without `data.split_lists`."""

    def read(self, folder: str, name: str, counts: Counter[str]) -> ImageList | None:
        """Returns a list by its name, None if there is no such file."""
        path = os.path.join(folder, self.lists, f"{name}.txt")
        return self.image_list(path, folder, read_names(path, counts)) if os.path.isfile(path) else None

    def image_list(self, path: str, folder: str, names: Sequence[str]) -> ImageList:
        """Returns the list of the images of these names."""
        files = tuple(os.path.join(folder, self.annotations, f"{name}.xml") for name in names)
        return ImageList(path, folder, tuple(names), files)

    def folders(self, folder: str) -> list[str]:
        """Returns the folders in a folder that have lists, such as those of years."""
        return sorted(each for each in os.listdir(folder) if os.path.isdir(os.path.join(folder, each, self.lists)))

    def names(self, folder: str) -> list[str]:
        """Returns the names of a folder's lists, without those of a class."""
        lists = os.path.join(folder, self.lists)
        found = sorted(os.listdir(lists)) if os.path.isdir(lists) else []
        names = [each.removesuffix(".txt") for each in found if each.endswith(".txt")]
        return [each for each in names if not self.class_lists.fullmatch(each)]


def read_lists(data: Data, layout: Layout, counts: Counter[str]) -> Lists:
    """Returns the lists of each split, the training split first; no image is in two lists.

    Args:
        data: the configuration.
        layout: of the data set.
        counts: receives the number of names that a list has twice, and of missing annotations of a test.txt.

    Raises:
        ConfigError: a list, or the folder of its year, does not exist.
        DataError: a list cannot be read or is empty, or an image is in two lists.
    """
    folder = data.name.partition(":")[2]
    chosen = data.split_lists.named() if isinstance(data, DetectionData) else {}
    if chosen:
        lists = {
            split: [_chosen_list(folder, each, f"data.split_lists.{split}: {each}", layout, counts) for each in names]
            for split, names in chosen.items()
        }
    else:
        lists = layout.default(data, counts)
    _refuse_repeated_images(folder, [each for of_split in lists.values() for each in of_split])
    if not chosen and "test" in lists:  # the annotations of some test images are not published
        missing = sum(not os.path.isfile(file) for file in lists["test"][0].annotations)
        if missing:
            counts["missing annotation of test.txt, no split"] = missing
            del lists["test"]
    return lists


def read_lines(path: str) -> list[str]:
    """Returns the lines of a list that are not empty.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None
    return [line for line in lines if line]


def read_names(path: str, counts: Counter[str]) -> tuple[str, ...]:
    """Returns the names of a list that has one in each line, each once."""
    return distinct(read_lines(path), counts)


def distinct(names: Sequence[str], counts: Counter[str]) -> tuple[str, ...]:
    """Returns each name of a list once; `counts` receives the number of the others."""
    found = tuple(dict.fromkeys(names))
    if len(found) < len(names):
        counts[_TWICE] += len(names) - len(found)
    return found


def _chosen_list(folder, name, where, layout, counts):
    """Returns the list of a name such as VOC2007/trainval."""
    year, _, listed = name.rpartition("/")
    if year and not os.path.isdir(os.path.join(folder, year)):
        found = f"has {', '.join(layout.folders(folder)) or f'no folder with {layout.lists}'}"
        raise ConfigError(f"{where}: no such folder {year}; {folder} {found}")
    images = layout.read(os.path.join(folder, year), listed, counts)
    if images is None:
        found = layout.names(os.path.join(folder, year))
        hint = suggest(listed, found) if found else "the folder has no lists"
        raise ConfigError(f"{where}: no file {os.path.join(year, layout.lists, listed)}.txt; {hint}")
    return images


def _refuse_repeated_images(folder, lists):
    """Raises `DataError` if two lists have an image of the same folder."""
    seen: dict[str, str] = {}
    for each in lists:
        if not each.names:
            raise DataError(f"{each.path}: has no images")
        images = [os.path.normpath(os.path.join(each.folder, name)) for name in each.names]
        for image in images:
            if image in seen:
                raise DataError(f"{each.path}: the image {os.path.relpath(image, folder)} is in {seen[image]} too")
        seen |= dict.fromkeys(images, each.path)
