"""Lists a folder's images, and decides which folders are splits and which are classes."""

import functools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from keras_resnet.errors import DataError

# Suffixes of the formats that `decode` reads. Some sites append a size (".jpg_large", ".jpg-large").
_IMAGE_SUFFIX = re.compile(
    r"\.(jpe?g|jpe|jfif|jif|jfi|pjpeg|pjp|png|gif|bmp|dib|webp|avif|tiff?|heic|heif|hif)([-_:](large|orig|medium|small|thumb))?"
)
IMAGE_SUFFIXES = ".jpg, .jpeg, .png, .bmp, .gif, .webp, .avif, .tif, .heic and their variants"  # for messages
# Folders that archives, cameras, recycle bins and network drives create, in lower case. Hidden folders never count.
_LEFTOVER_FOLDERS = {
    "__macosx",
    "__pycache__",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "found.000",
    "lost+found",
    "network trash folder",
    "temporary items",
}
_NETWORK_DRIVES = re.compile(r"[@#](eadir|recycle|recently-snapshot|snapshot|tmp|sharebin)")  # of Synology and QNAP
_LEFTOVER_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_DEPTH_OF_CLASSES = 2  # PATH/train/cat
_READ_ALREADY = "link to a folder that is read already"

_SPLIT_NAME = re.compile(
    r"(?:(?:images?|data(?:set)?)[ _-]?)?(train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?)"
    r"(?:[ _-]?(?:set|split|data(?:set)?|images?|imgs|photos|pictures))?"
)


@dataclass
class Folder:
    """A folder on the disk.

    Attributes:
        path: path by which the scan reached it.
        real: the same path with links resolved.
        images: names of the images directly in it.
        folders: {name: folder} of the subfolders that may hold data.
        passed_over: {reason: number of files} of skipped files directly in it.
    """

    path: str
    real: str
    images: list[str] = field(default_factory=list)
    folders: dict[str, "Folder"] = field(default_factory=dict)
    passed_over: Counter = field(default_factory=Counter)

    @functools.cached_property
    def count(self) -> int:
        """The number of images in it, at any depth."""
        return len(self.images) + sum(folder.count for folder in self.folders.values())

    def collect(self, passed_over: Counter) -> list[str]:
        """Returns the paths of its images, at any depth; reads a folder that several links point to only once."""
        return self._collect(passed_over, set())

    def _collect(self, passed_over, taken):
        if self.real in taken:
            passed_over[_READ_ALREADY] += 1
            return []
        taken.add(self.real)
        passed_over.update(self.passed_over)
        paths = [os.path.join(self.path, name) for name in self.images]
        return paths + [path for folder in self.folders.values() for path in folder._collect(passed_over, taken)]


def read_folder(path: str, accepts: Callable[[str], bool] | None = None) -> Folder:
    """Lists a folder and its contents: files whose names `accepts` accepts, images by default.

    Follows links to folders, except links to a folder that contains them.

    Raises:
        DataError: `path` or a folder inside it cannot be read.
    """
    return _read(path, (), set(), accepts or is_image)


def list_images(path: str, accepts: Callable[[str], bool] | None = None) -> list[str]:
    """Returns the paths of the images in a folder, at any depth, sorted by folder.

    Raises:
        DataError: see `read_folder`.
    """
    return read_folder(path, accepts).collect(Counter())


def name_problem(name: str) -> str | None:
    """Returns what is wrong with the name of a file or folder; None for any text without control characters."""
    if any("\ud800" <= character <= "\udfff" for character in name):  # bytes invalid in the file system's encoding
        return "its name is not UTF-8"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "its name has a control character"
    return None


def shown(name: str) -> str:
    """Returns a name that any terminal can print; replaces characters that `name_problem` refuses."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join("\ufffd" if unicodedata.category(character) == "Cc" else character for character in text)


def is_image(name: str) -> bool:
    """Returns whether a file of that name is read as an image."""
    return _suffix_is_image(os.path.splitext(name)[1].lower())


@functools.lru_cache(maxsize=1000)
def _suffix_is_image(suffix):
    return bool(_IMAGE_SUFFIX.fullmatch(suffix))


def _read(path, above, linked, accepts):
    """Reads a folder and its contents.

    Args:
        path: of the folder.
        above: real paths of the folders above it, through which it was reached.
        linked: real paths of the folders that links inside the same class point to. Without it, folders that link to
            each other would be read along every path through them.
        accepts: see `read_folder`.
    """
    above = (*above, os.path.realpath(path))
    folder = Folder(path, above[-1])
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    for entry in entries:
        if entry.is_dir():
            _add_folder(folder, entry, above, linked, accepts)
        else:
            _add_file(folder, entry, accepts)
    return folder


def _add_folder(folder, entry, above, linked, accepts):
    reason = _leftover_folder(entry.name)
    if reason:
        folder.passed_over[reason] += sum(len(files) for _, _, files in os.walk(entry.path))
        return
    real = os.path.realpath(entry.path)
    in_class = len(above) > _DEPTH_OF_CLASSES
    if any(_contains(real, each) for each in above) or (in_class and entry.is_symlink() and real in linked):
        folder.passed_over[_READ_ALREADY] += 1
        return
    if in_class:
        linked.add(real)
    folder.folders[entry.name] = _read(entry.path, above, linked if in_class else set(), accepts)


def _contains(folder, path):
    return os.path.join(path, "").startswith(os.path.join(folder, ""))


def _add_file(folder, entry, accepts):
    name = entry.name
    if name.startswith("."):
        folder.passed_over["hidden file"] += 1
    elif name.lower() in _LEFTOVER_FILES:
        folder.passed_over[name.strip()] += 1
    elif not accepts(name):
        folder.passed_over[shown(os.path.splitext(name)[1].lower()) or "no suffix"] += 1
    elif entry.is_file() or entry.is_symlink():  # a broken link is reported when it is read
        folder.images.append(name)
    else:
        folder.passed_over["not a regular file"] += 1


def _leftover_folder(name):
    lower = name.lower()
    if name.startswith("."):
        return f"hidden folder {shown(name)}"
    if lower in _LEFTOVER_FOLDERS or _NETWORK_DRIVES.fullmatch(lower):
        return f"folder {shown(name)}"
    return None


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
