"""Defines sets of labeled images, loads them by name, and maps over all their images."""

import os
import pkgutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.stated_size import require_stated_size
from keras_resnet.errors import ConfigError, DataError, suggest

_LOADERS = {
    "digits": "keras_resnet.data.embedded:load_digits",
    "scene_digits": "keras_resnet.data.scenes:load_scene_digits",
    "scenes": "keras_resnet.data.scenes:load_scenes",
    "scene_objects": "keras_resnet.data.scenes:load_scene_objects",
    "synthetic": "keras_resnet.data.embedded:load_synthetic",
    "tfds": "keras_resnet.data.tfds:load_tfds",
    "folder": "keras_resnet.data.folder:load_folder",
    "csv": "keras_resnet.data.csv_set:load_csv",
    "coco": "keras_resnet.data.coco:load_coco",
    "voc": "keras_resnet.data.voc:load_voc",
    "imagenet_det": "keras_resnet.data.imagenet_det:load_imagenet_det",
    "imagenet_loc": "keras_resnet.data.annotated:load_imagenet_loc",
    "annotated": "keras_resnet.data.annotated:load_annotated",
    "tfrecord": "keras_resnet.data.tfrecord:load_tfrecord",
}
_WITH_MASKS = ("coco", "scenes", "tfrecord")
Target = Literal["label", "labels", "boxes"]
_TARGETS: dict[Target, str] = {
    "label": "a class for each image",
    "labels": "several labels for each image",
    "boxes": "boxes",
}
_SHOWN = 10  # classes, and reasons, on one line


@dataclass(frozen=True)
class Split:
    """The images of one split.

    Attributes:
        size: number of images; always known, so steps and averages are exact.
        read: index () int64 -> (image, target), inside a TensorFlow graph. The image is pixels (H, W, C) uint8, or
            the bytes () of a file that holds them. The target is a label () int32, the probability of each class (K,)
            float32 for images with several labels, or the objects of the image as in
            `keras_resnet.detection.transforms`.
        source: index -> the location of the image, for messages.
        labels: (size,) int32 if they are known without reading the images.
        probabilities: (size, K), the probability of each class, 0 or 1 for images with several labels. Of soft labels,
            `labels` are the most probable classes. None: each image has one label.
        stated_sizes: (size, 2), height and width of each image as its annotation states them, 0 if it states none.
        unusable: index -> (kind, location, description) of each stored object that `read` leaves out. None: loading
            the set checked its objects.
        held_out: whether the images were taken from the training images because the set lacks this split.
        ids: (size,) the images' ids in the file that lists them, if it has any.
        max_objects: no image has more objects; None if that is unknown.
        masks: index -> the run lengths of the objects' masks, as in `keras_resnet.data.objects.Objects`. None: the
            objects have none, or nobody asked for them.
    """

    size: int
    read: Callable
    source: Callable[[int], str]
    labels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    stated_sizes: np.ndarray | None = None
    unusable: Callable[[int], list[tuple[str, str, str]]] | None = None
    held_out: bool = False
    ids: tuple[int | str, ...] | None = None
    max_objects: int | None = None
    masks: Callable[[int], Sequence[bytes]] | None = None

    def counts(self, classes: int) -> np.ndarray | None:
        """Returns the number of images of each class (classes,); None if they are not known without reading images."""
        if self.labels is not None:
            return np.bincount(self.labels, minlength=classes)
        return None if self.probabilities is None else (self.probabilities >= 0.5).sum(0)

    def subset(self, indices: np.ndarray) -> "Split":
        """Returns a split of the images at `indices`, in that order."""
        with tf.device("CPU:0"):
            chosen = tf.constant(indices, tf.int64)
        unusable, masks = self.unusable, self.masks
        return replace(
            self,
            size=len(indices),
            read=lambda index: self.read(tf.gather(chosen, index)),
            source=lambda index: self.source(int(indices[index])),
            labels=None if self.labels is None else self.labels[indices],
            probabilities=None if self.probabilities is None else self.probabilities[indices],
            stated_sizes=None if self.stated_sizes is None else self.stated_sizes[indices],
            unusable=None if unusable is None else lambda index: unusable(int(indices[index])),
            ids=None if self.ids is None else tuple(self.ids[index] for index in indices),
            masks=None if masks is None else lambda index: masks(int(indices[index])),
        )

    def with_soft_labels(self) -> "Split":
        """Returns the same images with a `read` that gives the probabilities of the classes (K,) float32."""
        with tf.device("CPU:0"):
            rows = tf.constant(self.probabilities)

        def read(index):
            image, _ = self.read(index)
            return image, tf.cast(tf.gather(rows, index), tf.float32)

        return replace(self, read=read)

    def with_labels_below(self, classes: int, first: int = 0) -> "Split":
        """Returns the same images with a `read` that fails for a label outside the classes.

        `first` is the first label in the set's own numbering, for the message.
        """

        def read(index):
            image, label = self.read(index)

            def fail():
                stored, allowed = tf.strings.as_string(label + first), f"; expected {first} to {first + classes - 1}"
                tf.debugging.Assert(False, [tf.strings.join(["its label is ", stored, allowed])])
                return label

            return image, tf.cond((label >= 0) & (label < classes), lambda: label, fail)

        return replace(self, read=read)

    def with_stated_sizes(self) -> "Split":
        """Returns the same images with a `read` that fails for an image that does not have its stated size."""
        if self.stated_sizes is None:
            return self
        with tf.device("CPU:0"):
            sizes = tf.constant(self.stated_sizes, tf.float64)

        def read(index):
            image, target = self.read(index)
            require_stated_size(image, tf.gather(sizes, index))
            return image, target

        return replace(self, read=read)


@dataclass(frozen=True)
class Finding:
    """A problem: its kind, its split, its location (`source`) and its description (`what`)."""

    kind: str
    split: str
    source: str
    what: str

    def __str__(self):
        return f"{self.split}: {self.source}: {self.what}"


@dataclass(frozen=True)
class ImageSet:
    """Labeled images with fixed splits.

    Attributes:
        name: `data.name` of the configuration.
        labels: the class names.
        image_shape: (H, W, C) of every image; H and W are None if they differ.
        splits: "train", "validation" and, unless the set has no labels for it, "test".
        passed_over: {reason: number} of the skipped files and objects in the set's folder.
        target: what `Split.read` returns beside the image.
        findings: the objects that were left out or clipped, each counted in `passed_over` too.
        problems: what prevents a run, such as missing images; `load_image_set` refuses the set, `verify` lists them.
        category_ids: the classes' ids in the file that lists them, if it has any.
    """

    name: str
    labels: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    splits: dict[str, Split]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    target: Target = "label"
    findings: tuple[Finding, ...] = ()
    problems: tuple[Finding, ...] = ()
    category_ids: tuple[int, ...] | None = None

    def split(self, name: str) -> Split:
        """Returns the split of that name.

        Raises:
            ConfigError: there is no such split.
        """
        if name not in self.splits:
            raise ConfigError(f'unknown split "{name}" of {self.name}; {suggest(name, self.splits)}')
        return self.splits[name]

    def overview(self) -> dict[str, str]:
        """Returns {"classes": the first ten, with their images in all splits, "ignored": ...} for a run's start."""
        known = [split.counts(len(self.labels)) for split in distinct_splits(self.splits).values()]
        of_splits = [each for each in known if each is not None]
        counts = np.sum(of_splits, axis=0) if len(of_splits) == len(known) else None
        shown = [name if counts is None else f"{name} {counts[i]:,}" for i, name in enumerate(self.labels[:_SHOWN])]
        more = len(self.labels) - len(shown)
        rows = {"classes": ", ".join(shown) + (f" and {more:,} more" if more else "")}
        rows |= {"ignored": passed_over_text(self.passed_over)} if self.passed_over else {}
        return rows | ({"the first is": str(self.findings[0])} if self.findings else {})


def passed_over_text(passed_over: Mapping[str, int]) -> str:
    """Formats {".tif": 5, "hidden file": 1} as ".tif: 5; hidden file: 1", most files first."""
    ordered = sorted(passed_over.items(), key=lambda each: (-each[1], each[0]))
    more = f" and {len(ordered) - _SHOWN} more reasons" if len(ordered) > _SHOWN else ""
    return "; ".join(f"{reason}: {count:,}" if count else reason for reason, count in ordered[:_SHOWN]) + more


def open_image_set(data: Data, masks: bool = False) -> ImageSet:
    """Returns the set of images that a configuration names, also if it has `problems`.

    Args:
        data: the configuration.
        masks: read the masks of objects too, where the set has them.

    Raises:
        ConfigError: the set does not exist, or cannot be used as configured.
        DataError: the data is not a set of images.
    """
    kind = data.name.partition(":")[0]
    arguments = {"masks": True} if masks and kind in _WITH_MASKS else {}
    images: ImageSet = pkgutil.resolve_name(_LOADERS[kind])(data, **arguments)
    return images


def load_image_set(data: Data, target: Target | None = "label", masks: bool = False) -> ImageSet:
    """Loads the set of images that a configuration names; an image of another size than stated is unreadable.

    Args:
        data: the configuration.
        target: what the caller needs beside each image; None: anything.
        masks: whether the caller needs a mask of each object.

    Raises:
        ConfigError: the set does not exist, cannot be used as configured, or has other targets or no masks.
        DataError: the data is not a set of images, or has problems.
    """
    kind = data.name.partition(":")[0]
    if masks and kind not in _WITH_MASKS:
        raise ConfigError(f"data.name: {data.name}: masks are read from {', '.join(_WITH_MASKS)}, not from {kind}")
    images = open_image_set(data, masks)
    if target and images.target != target:
        raise ConfigError(f"data.name: {data.name} has {_TARGETS[images.target]}, and this needs {_TARGETS[target]}")
    if images.problems:
        more = len(images.problems) - 1
        rest = f" (verify-data lists {more:,} more)" if more else ""
        raise DataError(f"data.name: {data.name}: {images.problems[0]}{rest}")
    checked = {id(split): split.with_stated_sizes() for split in images.splits.values()}
    return replace(images, splits={name: checked[id(split)] for name, split in images.splits.items()})


def complete(splits: dict[str, Split], validation_fraction: float, test_fraction: float) -> dict[str, Split]:
    """Adds the missing splits; their images do not depend on the run's seed.

    | the set has | validation | test |
    |---|---|---|
    | train | a part of train | a part of train |
    | train, test | a part of train; for a fraction of 0, test | its own |
    | train, validation | its own | none |
    | all three | its own | its own |

    Args:
        splits: "train" and the other splits of the set.
        validation_fraction, test_fraction: shares of the training images, per class if labels are known.
    """
    if "validation" in splits:
        return splits
    fractions = {} if "test" in splits else {"test": test_fraction}
    train, held = _hold_out(splits["train"], fractions | {"validation": validation_fraction})
    splits = {"train": train} | held | {name: split for name, split in splits.items() if name == "test"}
    fallback = splits.get("test", train)
    return {"train": train, "validation": splits.get("validation", fallback)} | (
        {"test": splits["test"]} if "test" in splits else {}
    )


def _strata(split):
    """Returns a number for each image (size,); of equal numbers, each part of the split has its share.

    It is the label. Of images with several labels, it is the one that the fewest images have.
    """
    if split.labels is not None:
        return split.labels
    if split.probabilities is None:
        return np.zeros(split.size, np.int32)
    positive = split.probabilities >= 0.5
    rarest = np.where(positive, positive.sum(0), split.size + 1).argmin(1)
    return np.where(positive.any(1), rarest, positive.shape[1])


def _hold_out(split, fractions):
    """Returns (the rest, {name: part of that fraction, if not empty}), drawn with NumPy's frozen `RandomState`.

    Each class gives its share, to within one image. Rounding is spread evenly over the classes, so the shares of all
    images are correct even if classes are small.
    """
    random = np.random.RandomState(0)
    labels = _strata(split)
    classes = random.permutation(np.unique(labels))
    place = np.empty(split.size)  # in [0, 1] within its class
    for i, label in enumerate(classes):
        members = random.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + (i + 0.5) / len(classes)) / len(members)
        if len(members) == 1:
            place[members] = 1.0  # the only image of a class is for training
    held, low = {}, 0.0
    for name, fraction in fractions.items():
        chosen = np.flatnonzero((low <= place) & (place < low + fraction))
        if len(chosen):
            held[name] = replace(split.subset(chosen), held_out=True)
        low += fraction
    return split.subset(np.flatnonzero(place >= low)), held


def split_of_arrays(images: np.ndarray, labels: np.ndarray, name: str) -> Split:
    """images (N, H, W, C) uint8, labels (N,) -> a split; messages use `name`."""
    labels = labels.astype(np.int32)
    with tf.device("CPU:0"):  # the graph captures the tensors and does not copy them
        all_images, all_labels = tf.constant(images), tf.constant(labels)

    def read(index):
        return tf.gather(all_images, index), tf.gather(all_labels, index)

    return Split(len(labels), read, lambda index: f"{name} image {index}", labels)


def distinct_splits(splits: dict[str, Split]) -> dict[str, Split]:
    """Returns the splits that have their own images: validation may repeat the test or training images."""
    order = ("train", "test", "validation")
    first = {id(splits[name]): name for name in reversed(order) if name in splits}
    return {name: split for name, split in splits.items() if first[id(split)] == name}


def map_in_threads(function: Callable, items: Iterable) -> Iterator:
    """Maps like `map`, over threads: TensorFlow decodes without the GIL. Few results wait, so memory is bounded."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
