"""Inspects the targets of images for `verify`: a class for labels, and one for objects with boxes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionData
from keras_resnet.data.image_set import Target

NO_LABELS = "no labels"
NO_OBJECTS = "no objects, which are background alone"


@dataclass(frozen=True)
class Inspected:
    """What `verify` keeps of the target of an image.

    Attributes:
        identity: a number of 64 bits that equal targets share.
        classes: the label, or the class of each object that is not ignored.
        ignored: number of ignored objects.
        problems: (kind, description) of its findings.
        notes: what is no finding, as in `Report`.
    """

    identity: int
    classes: Sequence[int]
    ignored: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


class Inspector(Protocol):
    """Inspects one kind of target.

    Attributes:
        counted: what a class has none of, if it is empty.
        conflict: kind of the findings for one image with two targets.
    """

    counted: str
    conflict: str

    def __init__(self, labels: tuple[str, ...], data: Data):
        """Takes the class names, and the configuration."""

    def inspect(self, target: Any) -> Inspected:
        """Returns what is kept of the target that `Split.read` returns."""

    def conflict_of(self, identity: int, other: int, source: str) -> str:
        """Returns the description of a conflict with another target of the same image, which is at `source`."""


class LabelInspector:
    """Inspects labels; the identity is the label."""

    counted, conflict = "images", "two labels"

    def __init__(self, labels, data):
        self._labels = labels

    def inspect(self, target):
        """Returns what is kept of a label ()."""
        return Inspected(int(target), (int(target),))

    def conflict_of(self, identity, other, source):
        """Returns the description of two labels."""
        return f'is labeled "{self._name(identity)}", but "{self._name(other)}" as {source}'

    def _name(self, label):
        return self._labels[label] if 0 <= label < len(self._labels) else str(label)


class SeveralLabelsInspector:
    """Inspects images with several labels; the identity is a digest of them."""

    counted, conflict = "images", "two sets of labels"

    def __init__(self, labels, data):
        """Takes the class names, and the configuration."""

    def inspect(self, target):
        """Returns what is kept of the probabilities of the classes (K,)."""
        values = np.asarray(target, np.float32)
        digest = hashlib.blake2b(values.tobytes(), digest_size=8).digest()
        classes = np.flatnonzero(values >= 0.5).tolist()
        identity = int.from_bytes(digest, "little", signed=True)
        return Inspected(identity, classes, notes=() if classes else (NO_LABELS,))

    def conflict_of(self, identity, other, source):
        """Returns the description of two sets of labels."""
        return f"is the same image as {source}, with other labels"


class BoxInspector:
    """Inspects objects with boxes; the identity is a digest of them in any order."""

    counted, conflict = "objects", "two annotations"

    def __init__(self, labels, data):
        self._max_objects = (data if isinstance(data, DetectionData) else DetectionData()).max_objects

    def inspect(self, target):
        """Returns what is kept of the objects {"boxes": (R, 4), "classes": (R,), "ignored": (R,), ...}."""
        boxes, classes, ignored = (np.asarray(target[name]).tolist() for name in ("boxes", "classes", "ignored"))
        count, most = len(classes), self._max_objects
        problems: tuple[tuple[str, str], ...] = ()
        if count > most:
            what = f"has {count:,} objects; expected data.max_objects, {most:,}, at most: the rest is left out"
            problems = (("too many objects", what),)
        rows = repr(sorted(zip(boxes, classes, ignored, strict=True))).encode()
        identity = int.from_bytes(hashlib.blake2b(rows, digest_size=8).digest(), "little", signed=True)
        counted = [label for label, ignore in zip(classes, ignored, strict=True) if not ignore]
        return Inspected(identity, counted, sum(ignored), problems, () if count else (NO_OBJECTS,))

    def conflict_of(self, identity, other, source):
        """Returns the description of two annotations."""
        return f"is the same image as {source}, with other objects"


INSPECTORS: dict[Target, type[Inspector]] = {
    "label": LabelInspector,
    "labels": SeveralLabelsInspector,
    "boxes": BoxInspector,
}
