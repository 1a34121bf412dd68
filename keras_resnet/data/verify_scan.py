"""Collects what `verify` finds in the images of a split, and compares the splits."""

import itertools
from dataclasses import dataclass

import numpy as np

from keras_resnet.data.image_set import Finding, Split
from keras_resnet.data.near_duplicates import near_duplicates
from keras_resnet.data.verify_targets import Inspected, Inspector

_UNREAD = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Look:
    """One image: `target` if it was read; digest of its bytes, (height, width) and `difference_hash` if it passes."""

    split: str
    index: int
    target: Inspected | None = None
    digest: bytes = b""
    size: tuple[int, int] = (0, 0)
    looks: np.ndarray | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitReport:
    """The contents of a split.

    Attributes:
        images: their number.
        classes: number of classes that have images, or objects that are not ignored.
        sizes: (height, width) of the smallest, median and largest image by area.
        objects: their number, with the ignored ones; None for images with labels.
        ignored: number of ignored objects.
        class_counts: number of images, or of objects that are not ignored, of each class.
    """

    images: int
    classes: int
    sizes: list[tuple[int, int]]
    objects: int | None = None
    ignored: int = 0
    class_counts: tuple[int, ...] = ()


class Scan:
    """The results of one split as arrays: ImageNet's 1.28 million images take 84 MB."""

    def __init__(self, split: Split, classes: int):
        self.source = split.source
        self.identities = np.full(split.size, _UNREAD)
        self.digests = np.zeros((split.size, 4), np.uint64)
        self.sizes = np.zeros((split.size, 2), np.int32)
        self.passed = np.zeros(split.size, bool)
        self.looks = np.zeros((split.size, 2), np.uint64)  # 0: no hash
        self.class_counts = np.zeros(classes, np.int64)
        self.objects = self.ignored = 0
        self._known = split.labels is not None
        if split.labels is not None:
            self.identities[:] = split.labels
            self._count(split.labels)

    def add(self, seen: Look) -> None:
        """Adds the result of an image."""
        if seen.target and not self._known:
            self.identities[seen.index] = seen.target.identity
            self._count(np.asarray(seen.target.classes, np.int64))
            self.objects += len(seen.target.classes) + seen.target.ignored
            self.ignored += seen.target.ignored
        if seen.digest:
            self.passed[seen.index], self.sizes[seen.index] = True, seen.size
            self.digests[seen.index] = np.frombuffer(seen.digest, np.uint64)
        if seen.looks is not None:
            self.looks[seen.index] = seen.looks

    def _count(self, labels):
        classes = len(self.class_counts)
        self.class_counts += np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)

    def report(self, has_objects: bool) -> SplitReport:
        """Returns the contents of the split."""
        sizes = self.sizes[self.passed]
        sizes = sizes[np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")]
        chosen = sizes[[0, len(sizes) // 2, -1]].tolist() if len(sizes) else []
        return SplitReport(
            len(self.passed),
            int((self.class_counts > 0).sum()),
            [(height, width) for height, width in chosen],
            self.objects if has_objects else None,
            self.ignored,
            tuple(self.class_counts.tolist()),
        )


def look_alikes(scans: dict[str, Scan], max_distance: int) -> list[Finding]:
    """Returns findings for images that look like one of another split, and are not its bytes.

    Args:
        scans: of all splits.
        max_distance: as for `near_duplicates`.
    """
    findings = []
    for (other, earlier), (name, later) in itertools.combinations(scans.items(), 2):
        first, second = (np.flatnonzero(scan.looks.any(1)) for scan in (earlier, later))
        pairs = near_duplicates(earlier.looks[first], later.looks[second], max_distance)
        for index, like in ((second[row], first[nearest]) for row, nearest in pairs):
            if not np.array_equal(later.digests[index], earlier.digests[like]):
                what = f"looks like {earlier.source(int(like))} of {other}"
                findings.append(Finding("near duplicate", name, later.source(int(index)), what))
    return findings


def copies(scans: dict[str, Scan], inspector: Inspector) -> list[Finding]:
    """Returns findings for images that are in two splits, or in one split with two targets."""
    if not scans:
        return []
    names = list(scans)
    split_of = np.concatenate([np.full(scan.passed.sum(), i) for i, scan in enumerate(scans.values())])
    index_of = np.concatenate([np.flatnonzero(scan.passed) for scan in scans.values()])
    digests = np.concatenate([scan.digests[scan.passed] for scan in scans.values()])
    order = np.lexsort(digests.T)  # stable: the first of a group is in the first split
    begins = np.flatnonzero(np.append(True, (digests[order[1:]] != digests[order[:-1]]).any(axis=1)))
    ends = np.append(begins[1:], len(order))
    groups = [order[begin:end] for begin, end in zip(begins, ends, strict=True) if end - begin > 1]

    def described(member):
        name, index = names[split_of[member]], int(index_of[member])
        return name, scans[name].source(index), int(scans[name].identities[index])

    findings = []
    for group in sorted(groups, key=lambda group: group[0]):
        first = described(group[0])
        first_of_split = {first[0]: first}
        for name, source, identity in map(described, group[1:]):
            if name != first[0]:
                what = f"the same image as {first[1]} of {first[0]}"
                findings.append(Finding("duplicate", name, source, what))
            _, other_source, other = first_of_split.setdefault(name, (name, source, identity))
            if identity != other:
                what = inspector.conflict_of(identity, other, other_source)
                findings.append(Finding(inspector.conflict, name, source, what))
    return findings
