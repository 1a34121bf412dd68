"""Defines sets of labeled images and loads them by name."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.errors import ConfigError, suggest

_LOADERS = {
    "digits": "keras_resnet.data.digits:load_digits",
    "synthetic": "keras_resnet.data.synthetic:load_synthetic",
    "tfds": "keras_resnet.data.tfds:load_tfds",
    "folder": "keras_resnet.data.folder:load_folder",
    "tfrecord": "keras_resnet.data.tfrecord:load_tfrecord",
}
_SHOWN = 10  # classes, and reasons, on one line


@dataclass(frozen=True)
class Split:
    """The images of one split.

    Attributes:
        size: number of images; always known, so steps and averages are exact.
        read: index () int64 -> (image, label () int32), inside a TensorFlow graph. The image is pixels
            (H, W, C) uint8, or the bytes () of a file that holds them.
        source: index -> the location of the image, for messages.
        labels: (size,) int32 if they are known without reading the images.
        held_out: whether the images were taken from the training images because the set lacks this split.
    """

    size: int
    read: Callable
    source: Callable[[int], str]
    labels: np.ndarray | None = None
    held_out: bool = False

    def subset(self, indices: np.ndarray) -> "Split":
        """Returns a split of the images at `indices`, in that order."""
        with tf.device("CPU:0"):
            chosen = tf.constant(indices, tf.int64)
        return replace(
            self,
            size=len(indices),
            read=lambda index: self.read(tf.gather(chosen, index)),
            source=lambda index: self.source(int(indices[index])),
            labels=None if self.labels is None else self.labels[indices],
        )

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


@dataclass(frozen=True)
class ImageSet:
    """Labeled images with fixed splits.

    Attributes:
        name: `data.name` of the configuration.
        labels: the class names.
        image_shape: (H, W, C) of every image; H and W are None if they differ.
        splits: "train", "validation" and, unless the set has no labels for it, "test".
        passed_over: {reason: number of files} of the skipped files in the set's folder.
    """

    name: str
    labels: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    splits: dict[str, Split]
    passed_over: Mapping[str, int] = field(default_factory=dict)

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
        known = {id(split.labels): split.labels for split in self.splits.values() if split.labels is not None}
        counts = None
        if len(known) == len({id(split) for split in self.splits.values()}):
            counts = np.bincount(np.concatenate(list(known.values())), minlength=len(self.labels))
        shown = [name if counts is None else f"{name} {counts[i]:,}" for i, name in enumerate(self.labels[:_SHOWN])]
        more = len(self.labels) - len(shown)
        rows = {"classes": ", ".join(shown) + (f" and {more:,} more" if more else "")}
        return rows | ({"ignored": passed_over_text(self.passed_over)} if self.passed_over else {})


def passed_over_text(passed_over: Mapping[str, int]) -> str:
    """Formats {".tif": 5, "hidden file": 1} as ".tif: 5; hidden file: 1", most files first."""
    ordered = sorted(passed_over.items(), key=lambda each: (-each[1], each[0]))
    more = f" and {len(ordered) - _SHOWN} more reasons" if len(ordered) > _SHOWN else ""
    return "; ".join(f"{reason}: {count:,}" if count else reason for reason, count in ordered[:_SHOWN]) + more


def load_image_set(data: Data) -> ImageSet:
    """Loads the set of images that a configuration names.

    Raises:
        ConfigError: the set does not exist or cannot be used as configured.
        DataError: the data is not a set of images.
    """
    module, function = _LOADERS[data.name.partition(":")[0]].split(":")
    return getattr(importlib.import_module(module), function)(data)
