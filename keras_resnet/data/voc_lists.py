"""Describes Pascal VOC's lists of images: those of a folder of one year, such as VOCdevkit/VOC2012."""

import os
import re

from keras_resnet.data.split_lists import Layout
from keras_resnet.errors import ConfigError

_USUAL = ("trainval", "train", "val", "test")  # VOC's other lists are those of a class, such as dog_train


class VocLayout(Layout):
    """The lists in `ImageSets/Main`, one name in each line."""

    lists = os.path.join("ImageSets", "Main")
    annotations = "Annotations"
    class_lists = re.compile(f".*_({'|'.join(_USUAL)})")

    def default(self, data, counts):
        """Returns the lists of one year, by their names."""
        folder = data.name.partition(":")[2]
        read = {name: found for name in _USUAL if (found := self.read(folder, name, counts))}
        if "train" in read:
            read.pop("trainval", None)
        elif "trainval" in read:
            both = read.pop("trainval")
            others = set(read["val"].names) if "val" in read else set()
            read["train"] = self.image_list(both.path, folder, [each for each in both.names if each not in others])
        else:
            what = "has no ImageSets/Main/train.txt or trainval.txt"
            raise ConfigError(f"data.name: {data.name}: {what}; {self._instead(folder)}")
        splits = (("train", "train"), ("validation", "val"), ("test", "test"))
        return {split: [read[each]] for split, each in splits if each in read}

    def _instead(self, folder):
        """Returns what to do about a folder that is not that of a year."""
        years = self.folders(folder)
        if not years:
            return "expected a folder such as VOCdevkit/VOC2012"
        lists = [
            f"{year}/{each}" for year in years for each in self.names(os.path.join(folder, year)) if each in _USUAL
        ]
        what = "name the folder of one year, or set data.split_lists, as {train: [LIST, ...]}"
        return f"{what}; its lists are {', '.join(lists)}"
