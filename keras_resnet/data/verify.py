"""Checks every image of a data set before a long run, with the code by which a run reads images."""

import contextlib
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.data import tfrecord
from keras_resnet.data.decode import decode
from keras_resnet.data.folder import scan_folder, set_of_scan
from keras_resnet.data.header import MAX_PIXELS, read_header
from keras_resnet.data.image_set import Finding, ImageSet, Split, distinct_splits, load_image_set, map_in_threads
from keras_resnet.data.pipeline import reason
from keras_resnet.data.tfrecord import index_records
from keras_resnet.errors import DataError

TRANSPARENT = "transparency, which is dropped: the color behind it counts"
ROTATED = "an EXIF orientation, which is applied"

_KINDS = {
    "damaged": "damaged",
    "truncated": "damaged",
    "ends within": "damaged",
    "pixels": "too large",
    "times as long": "too large",
    "near black": "too dark",
    "its label is": "wrong label",
}
_NO_LABEL = np.iinfo(np.int64).min


def oddity(content: bytes) -> str:
    """Returns `TRANSPARENT` or `ROTATED` for the bytes of a readable image, "" for most."""
    header = read_header(content)
    if header and header.format == "JPEG":
        return ROTATED if header.orientation > 1 else ""
    # Pillow may refuse what TensorFlow reads, with any exception.
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as image:
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            return TRANSPARENT
    return ""


@dataclass(frozen=True)
class SplitReport:
    """Images of a split, classes that have images, and (height, width) of the smallest, median and largest by area."""

    images: int
    classes: int
    sizes: list[tuple[int, int]]


@dataclass(frozen=True)
class Report:
    """The result of `verify`; `passed_over` as in `ImageSet`; `notes` is {oddity: images}, which are no findings."""

    labels: tuple[str, ...]
    splits: dict[str, SplitReport]
    findings: list[Finding]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, list[str]] = field(default_factory=dict)


def verify(data: Data, max_pixels: int = MAX_PIXELS, track: Callable = lambda looks, total: looks) -> Report:
    """Reads and decodes every image of every split once.

    Args:
        data: the set, as configured for a run.
        max_pixels: an image with more pixels (height times width) is reported as too large and not decoded.
        track: (iterable of results, their number) -> the same results; may show progress.

    Raises:
        ConfigError, DataError: the set does not exist.
    """
    images, findings = _open(data)
    splits = distinct_splits(images.splits)
    scans = {name: _Scan(split) for name, split in splits.items()}
    reads = {name: _reader(split) for name, split in splits.items()}

    def look(job):
        name, index = job
        return _look(name, index, reads[name], images.image_shape[2], max_pixels)

    jobs = ((name, index) for name, split in splits.items() for index in range(split.size))
    notes: dict[str, list[str]] = {}
    for seen in track(map_in_threads(look, jobs), sum(split.size for split in splits.values())):
        scans[seen.split].add(seen)
        source = splits[seen.split].source
        if seen.note:
            notes.setdefault(seen.note, []).append(source(seen.index))
        if seen.fault:
            findings.append(Finding(seen.fault[0], seen.split, source(seen.index), seen.fault[1]))
    for name, scan in scans.items():
        if splits[name].held_out:  # a small class may have no held-out image
            continue
        missing = np.flatnonzero(scan.images_of_class(len(images.labels)) == 0)
        what = "has no images in this split"
        named = {(finding.kind, finding.split, finding.source) for finding in findings}
        empty = [Finding("empty class", name, f'class "{images.labels[label]}"', what) for label in missing]
        findings += [each for each in empty if (each.kind, each.split, each.source) not in named]
    findings += _copies(scans, images.labels)
    reports = {name: scan.report(len(images.labels)) for name, scan in scans.items()}
    return Report(images.labels, reports, findings, images.passed_over, notes)


def _open(data) -> tuple[ImageSet, list[Finding]]:
    kind = data.name.partition(":")[0]
    try:
        if kind in ("folder", "tfrecord"):
            return (_open_folder if kind == "folder" else _open_tfrecord)(data)
        return load_image_set(data), []
    except (OSError, tf.errors.OpError) as error:
        what = reason(error) if isinstance(error, tf.errors.OpError) else error
        raise DataError(f"data.name: {data.name}: cannot be read ({what})") from None


def _open_folder(data):
    """Loads a folder like `load_folder`, but returns its problems as findings."""
    scan = scan_folder(data.name.partition(":")[2])
    return set_of_scan(scan, data), list(scan.problems)


def _open_tfrecord(data):
    """Loads TFRecord files like `load_tfrecord`, but skips broken files and returns them as findings."""
    root, findings = data.name.partition(":")[2], []
    files = tfrecord.files_of_splits(root)
    labels, splits = tfrecord.read_labels(root, data), {}
    for name, paths in files.items():
        faults = dict(zip(paths, map_in_threads(_fault_of_records, paths), strict=True))
        findings += [Finding(fault[0], name, path, fault[1]) for path, fault in faults.items() if fault]
        whole = [path for path, fault in faults.items() if not fault]
        if whole:
            splits[name] = tfrecord.split_of_records(index_records(whole), len(labels))
    if not findings:
        return tfrecord.load_tfrecord(data), []
    return ImageSet(data.name, labels, (None, None, 3), splits), findings


def _fault_of_records(path):
    try:
        return None if len(index_records([path])) else ("empty", "has 0 bytes")
    except DataError as error:
        return "broken file", str(error).removeprefix(f"{path}: ")


@dataclass(frozen=True)
class _Look:
    """One image: digest of its bytes and (height, width) if it passes, `fault` (kind, what) if it does not."""

    split: str
    index: int
    label: int
    digest: bytes = b""
    size: tuple[int, int] = (0, 0)
    fault: tuple[str, str] | None = None
    note: str = ""


def _reader(split):
    """Returns `split.read`, for records as a graph, which takes a fifth of the time."""
    if split.labels is not None:
        return split.read
    graph = tf.function(split.read, input_signature=[tf.TensorSpec((), tf.int64)], autograph=False)

    def read(index):
        try:
            return graph(index)
        except tf.errors.OpError:  # the eager error says more about the cause
            return split.read(index)

    return read


def _look(name, index, read, channels, max_pixels):
    label = _NO_LABEL
    try:
        with tf.device("CPU:0"):
            image, label = read(tf.constant(index, tf.int64))
            label, content = int(label), image.numpy()
            stored = isinstance(content, bytes)
            header = read_header(content) if stored else None
            if stored and not content:
                return _Look(name, index, label, fault=("empty", "has 0 bytes"))
            if header and header.height * header.width > max_pixels:
                what = f"{header.height} x {header.width} pixels, more than {max_pixels} (--max_pixels); not decoded"
                return _Look(name, index, label, fault=("too large", what))
            height, width = decode(image, channels).shape[:2]
    except tf.errors.OpError as error:
        what = reason(error)
        kind = next((kind for part, kind in _KINDS.items() if part in what), "unreadable")
        return _Look(name, index, label, fault=(kind, what))
    note = oddity(content) if stored else ""
    return _Look(name, index, label, hashlib.sha256(content).digest(), (height, width), note=note)


class _Scan:
    """The results of one split as arrays: ImageNet's 1.28 million images take 63 MB."""

    def __init__(self, split: Split):
        self.source = split.source
        self.labels = np.full(split.size, _NO_LABEL) if split.labels is None else split.labels.astype(np.int64)
        self.digests = np.zeros((split.size, 4), np.uint64)
        self.sizes = np.zeros((split.size, 2), np.int32)
        self.passed = np.zeros(split.size, bool)

    def add(self, seen: _Look) -> None:
        if seen.label != _NO_LABEL:
            self.labels[seen.index] = seen.label
        if not seen.fault:
            self.passed[seen.index], self.sizes[seen.index] = True, seen.size
            self.digests[seen.index] = np.frombuffer(seen.digest, np.uint64)

    def images_of_class(self, classes):
        known = self.labels[(self.labels >= 0) & (self.labels < classes)]
        return np.bincount(known, minlength=classes)

    def report(self, classes):
        sizes = self.sizes[self.passed]
        sizes = sizes[np.argsort(sizes.astype(np.int64).prod(axis=1), kind="stable")]
        chosen = sizes[[0, len(sizes) // 2, -1]].tolist() if len(sizes) else []
        return SplitReport(
            len(self.labels),
            int((self.images_of_class(classes) > 0).sum()),
            [(height, width) for height, width in chosen],
        )


def _copies(scans: dict[str, _Scan], labels: tuple[str, ...]) -> list[Finding]:
    """Returns findings for images that are in two splits, or in one split with two labels."""
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
        label = int(scans[name].labels[index])
        shown = labels[label] if 0 <= label < len(labels) else str(label)
        return name, scans[name].source(index), label, shown

    findings = []
    for group in sorted(groups, key=lambda group: group[0]):
        first = described(group[0])
        first_of_split = {first[0]: first}
        for name, source, label, shown in map(described, group[1:]):
            if name != first[0]:
                what = f"the same image as {first[1]} of {first[0]}"
                findings.append(Finding("duplicate", name, source, what))
            other = first_of_split.setdefault(name, (name, source, label, shown))
            if label != other[2]:
                what = f'is labeled "{shown}", but "{other[3]}" as {other[1]}'
                findings.append(Finding("two labels", name, source, what))
    return findings
