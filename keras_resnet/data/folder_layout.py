"""Decides which folders of a data set are splits and which are classes; refuses ambiguous layouts.

| folder | read as |
|---|---|
| `cat/`, `dog/` | two classes of training images |
| `train/cat/`, `val/cat/`, `test/cat/` | splits; `Training`, `test_set`, `valid-images`, ... too |
| `train/` that holds images, next to `bus/` and `car/` | a class named "train" |
| `val/` or `test/`, empty or without class folders, next to `train/cat/` | no split |
"""

import re
from collections import Counter

from keras_resnet.data.folder_tree import Folder, shown
from keras_resnet.errors import DataError

_SPLIT_NAME = re.compile(
    r"(?:(?:images?|data(?:set)?)[ _-]?)?(train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?)"
    r"(?:[ _-]?(?:set|split|data(?:set)?|images?|imgs|photos|pictures))?"
)


def split_of(name: str) -> str | None:
    """Returns the split that a folder's name may mean: "Training" and "train_set" -> "train"."""
    match = _SPLIT_NAME.fullmatch(name.lower())
    return {"tr": "train", "va": "validation", "te": "test"}[match[1][:2]] if match else None


def classes_of(folder: Folder) -> dict[str, Folder]:
    """Returns the subfolders that hold images."""
    return {name: inside for name, inside in folder.folders.items() if inside.count}


def find_splits(root: Folder) -> tuple[dict[str, Folder], Counter]:
    """Returns ({"train": folder of the class folders, ...}, {reason: number of files} of what is skipped).

    Raises:
        DataError: the layout is not understood or ambiguous; the message gives the reason.
    """
    named: dict[str, dict[str, Folder]] = {"train": {}, "validation": {}, "test": {}}
    for name, folder in root.folders.items():
        if split := split_of(name):
            named[split][name] = _unwrapped(folder, split)
    others = {name: folder for name, folder in classes_of(root).items() if not split_of(name)}
    if _are_classes(named, others):
        _check_classes(root)
        return {"train": root}, Counter()
    splits = {split: folder for split in named if (folder := _only(named[split], split))}
    passed_over = Counter({f"folder {shown(name)}, no split": folder.count for name, folder in others.items()})
    for folders in named.values():
        for name, folder in folders.items():
            if folder not in splits.values():
                what = "without class folders" if folder.count else "without images"
                folder.collect(passed_over)
                passed_over[f"folder {shown(name)}, {what}, no split"] = folder.count
    return splits, passed_over


def _are_classes(named, others):
    """Returns whether the root's folders are classes; False if they are splits."""
    train = {name: folder for name, folder in named["train"].items() if folder.count}
    held = {name: folder for split in ("validation", "test") for name, folder in named[split].items() if folder.count}
    held_as_split = {name: folder for name, folder in held.items() if classes_of(folder)}
    train_as_split = {name: folder for name, folder in train.items() if classes_of(folder)}
    if not train and not held:
        if named["train"] and not others:
            raise DataError(f"{_names(named['train'])} holds no images")
        return True
    if not train:
        if others:
            raise _two_readings(held, others)
        raise DataError(f"found {_names(held)}, but no training images: expected a folder train beside it")
    if not train_as_split:
        if held_as_split:
            raise DataError(f"{_names(train)} holds images, but no folders of classes as {_names(held_as_split)} does")
        if others:
            return True
        raise DataError(
            f"{_names(train)} holds images directly: expected a folder for each class in it, as train/cat; "
            "if it is a class itself, rename it"
        )
    in_both = {name for folder in others.values() for name in classes_of(folder)} & {
        name for folder in train_as_split.values() for name in classes_of(folder)
    }
    if others and not held_as_split and not in_both:
        raise _two_readings(train, others)
    return False


def _only(candidates, split):
    """Returns the only folder of that split that has class folders, or None."""
    usable = {name: folder for name, folder in candidates.items() if classes_of(folder)}
    if len(usable) > 1:
        raise DataError(f"{_names(usable)} could each be the {split} split: expected one; rename the others")
    return next(iter(usable.values()), None)


def _two_readings(splits, others):
    verb = "are splits" if len(splits) > 1 else "is a split"
    other = "classes" if len(splits) > 1 else "a class"
    return DataError(
        f"could be read in two ways: {_names(splits)} {verb}, or {other} beside {_names(others)}; "
        f"for the first, move the training classes into a folder train; for the second, rename {_names(splits)}"
    )


def _unwrapped(folder, split):
    """Returns the inner folder where an archive nests a split: training_set/training_set/cat -> the second one."""
    inside = classes_of(folder)
    only = next(iter(inside.values())) if len(inside) == 1 and not folder.images else None
    if only and split_of(next(iter(inside))) == split and classes_of(only) and not only.images:
        return only
    return folder


def _check_classes(root):
    """Refuses a folder that wraps the data set, and splits inside the classes."""
    classes = classes_of(root)
    if len(classes) == 1:
        inner = root
        while len(inside := classes_of(inner)) == 1 and not inner.images:
            inner = next(iter(inside.values()))
        if inside:
            raise DataError(
                f"holds one folder, {_names(classes)}, which is one class or a folder around the data set; "
                f"for the second, set data.name=folder:{shown(inner.path)}"
            )
    for name, folder in classes.items():
        splits = {split_of(each): each for each in classes_of(folder)}
        train = splits.get("train")
        if train and (len(splits.keys() - {None}) > 1 or classes_of(folder.folders[train])):
            raise DataError(
                f'could be read in two ways: "{shown(name)}" is a class, or a data set, because it holds '
                f'"{shown(train)}"; for the second, set data.name=folder:{shown(folder.path)}, or move '
                "its splits above the classes, as train/cat"
            )


def _names(folders, most=3):
    """Returns the names as text: "bus", "car" and 8 more."""
    quoted = [f'"{shown(name)}"' for name in folders]
    rest = f" and {len(quoted) - most} more" if len(quoted) > most else ""
    return ", ".join(quoted[:most]) + rest
