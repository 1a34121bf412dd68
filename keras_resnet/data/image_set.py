"""Defines sets of labeled images, and their splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import tensorflow as tf

from keras_resnet.data.stated_size import require_stated_size
from keras_resnet.errors import ConfigError, suggest

Target = Literal["label", "labels", "boxes"]
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
