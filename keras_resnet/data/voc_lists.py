"""Reads which images of Pascal VOC are in which split: the lists of one year, or those of `data.split_lists`."""

import os
from collections import Counter
from dataclasses import dataclass

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionData
from keras_resnet.errors import ConfigError, DataError, one_line, suggest

_MAIN = os.path.join("ImageSets", "Main")
_USUAL = ("trainval", "train", "val", "test")  # VOC's other lists are those of a class, such as dog_train
_TWICE = "image named twice in a list"


@dataclass(frozen=True)
class ImageList:
    """A list of images.

    Attributes:
        path: its file.
        folder: the folder that has the annotations and images.
        names: of its images, each once.
    """

    path: str
    folder: str
    names: tuple[str, ...]

    @property
    def annotations(self) -> list[str]:
        """Returns the annotation file of each image."""
        return [os.path.join(self.folder, "Annotations", f"{name}.xml") for name in self.names]


def read_lists(data: Data, counts: Counter[str]) -> dict[str, list[ImageList]]:
    """Returns the lists of each split, the training split first; no image is in two lists.

    Args:
        data: the configuration.
        counts: receives the number of names that a list has twice, and of missing annotations of a year's test.txt.

    Raises:
        ConfigError: a list, or the folder of its year, does not exist.
        DataError: a list cannot be read or is empty, or an image is in two lists.
    """
    folder = data.name.partition(":")[2]
    chosen = data.split_lists.named() if isinstance(data, DetectionData) else {}
    if chosen:
        lists = {
            split: [_chosen_list(folder, each, f"data.split_lists.{split}: {each}", counts) for each in names]
            for split, names in chosen.items()
        }
    else:
        lists = _lists_of_a_year(folder, data.name, counts)
    _refuse_repeated_images(folder, [each for of_split in lists.values() for each in of_split])
    if not chosen and "test" in lists:  # VOC publishes no annotations of some test images
        missing = sum(not os.path.isfile(file) for file in lists["test"][0].annotations)
        if missing:
            counts["missing annotation of test.txt, no split"] = missing
            del lists["test"]
    return lists


def _lists_of_a_year(folder, name, counts):
    paths = {each: os.path.join(folder, _MAIN, f"{each}.txt") for each in _USUAL}
    read = {each: _names(path, counts) for each, path in paths.items() if os.path.isfile(path)}
    if "train" in read:
        read.pop("trainval", None)
    elif "trainval" in read:
        paths["train"] = paths["trainval"]
        others = set(read.get("val", ()))
        read["train"] = tuple(each for each in read.pop("trainval") if each not in others)
    else:
        what = "has no ImageSets/Main/train.txt or trainval.txt"
        raise ConfigError(f"data.name: {name}: {what}; {_instead(folder)}")
    splits = (("train", "train"), ("validation", "val"), ("test", "test"))
    return {split: [ImageList(paths[each], folder, read[each])] for split, each in splits if each in read}


def _instead(folder):
    """Returns what to do about a folder that is not that of a year."""
    years = _years(folder)
    if not years:
        return "expected a folder such as VOCdevkit/VOC2012"
    lists = ", ".join(f"{year}/{each}" for year in years for each in _list_names(folder, year) if each in _USUAL)
    return f"name the folder of one year, or set data.split_lists, as {{train: [LIST, ...]}}; its lists are {lists}"


def _chosen_list(folder, name, where, counts):
    """Returns the list of a name such as VOC2007/trainval."""
    year, _, listed = name.rpartition("/")
    if year and not os.path.isdir(os.path.join(folder, year)):
        found = f"has {', '.join(_years(folder)) or 'no folder with ImageSets/Main'}"
        raise ConfigError(f"{where}: no such folder {year}; {folder} {found}")
    path = os.path.join(folder, year, _MAIN, f"{listed}.txt")
    if not os.path.isfile(path):
        found = _list_names(folder, year)
        hint = suggest(listed, found) if found else "the folder has no lists"
        raise ConfigError(f"{where}: no file {os.path.relpath(path, folder)}; {hint}")
    return ImageList(path, os.path.join(folder, year), _names(path, counts))


def _years(folder):
    return sorted(each for each in os.listdir(folder) if os.path.isdir(os.path.join(folder, each, _MAIN)))


def _list_names(folder, year):
    """Returns the names of a year's lists, without those of a class if it has the usual ones."""
    main = os.path.join(folder, year, _MAIN)
    found = sorted(os.listdir(main)) if os.path.isdir(main) else []
    names = [each.removesuffix(".txt") for each in found if each.endswith(".txt")]
    return [each for each in names if each.rpartition("_")[2] not in _USUAL or each in _USUAL]


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


def _names(path, counts):
    """Returns the names in a list."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None
    names = [line for line in lines if line]
    distinct = tuple(dict.fromkeys(names))
    if len(distinct) < len(names):
        counts[_TWICE] += len(names) - len(distinct)
    return distinct
