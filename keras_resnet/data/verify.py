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
from keras_resnet.data.image_set import Finding, ImageSet, Split, distinct_splits
from keras_resnet.data.near_duplicates import MAX_DISTANCE, difference_hash
from keras_resnet.data.pillow_formats import pillow_header
from keras_resnet.data.pipeline import reason
from keras_resnet.data.records import index_records
from keras_resnet.data.sources import open_image_set
from keras_resnet.data.stated_size import size_problem
from keras_resnet.data.threads import map_in_threads
from keras_resnet.data.verify_scan import Look, Scan, SplitReport, copies, look_alikes
from keras_resnet.data.verify_targets import INSPECTORS, Inspected, Inspector
from keras_resnet.description import ExifOrientation
from keras_resnet.errors import DataError

TRANSPARENT = "transparency, which is dropped: the color behind it counts"
ROTATED = {
    "apply": "an EXIF orientation, which is applied",
    "ignore": "an EXIF orientation, which is ignored (data.exif_orientation)",
}

_KINDS = {
    "damaged": "damaged",
    "truncated": "damaged",
    "ends within": "damaged",
    "pixels": "too large",
    "times as long": "too large",
    "near black": "too dark",
    "its label is": "wrong label",
}


def oddity(content: bytes, exif: ExifOrientation = "apply") -> str:
    """Returns `TRANSPARENT` or a value of `ROTATED` for the bytes of a readable image, "" for most."""
    header = read_header(content)
    if header and header.format == "JPEG":
        return ROTATED[exif] if header.orientation > 1 else ""
    # Pillow may refuse what TensorFlow reads, with any exception.
    with contextlib.suppress(Exception), Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as image:
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            return TRANSPARENT
    return ""


@dataclass(frozen=True)
class Report:
    """The result of `verify`.

    Attributes:
        labels: the class names.
        splits: the contents of each split.
        findings: all problems.
        passed_over: as in `ImageSet`, without the objects that `findings` names.
        notes: {what is no finding: locations of the images}.
    """

    labels: tuple[str, ...]
    splits: dict[str, SplitReport]
    findings: list[Finding]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, list[str]] = field(default_factory=dict)


def verify(
    data: Data,
    max_pixels: int = MAX_PIXELS,
    track: Callable = lambda looks, total: looks,
    masks: bool = False,
    near_duplicates: int = MAX_DISTANCE,
) -> Report:
    """Reads and decodes every image of every split once.

    Args:
        data: the set, as configured for a run.
        max_pixels: an image with more pixels (height times width) is reported as too large and not decoded.
        track: (iterable of results, their number) -> the same results; may show progress.
        masks: read the objects' masks too, where the set has them.
        near_duplicates: bits of `difference_hash` that may differ between images of two splits that look alike; -1:
            they are not compared.

    Raises:
        ConfigError, DataError: the set does not exist.
    """
    images, findings = _open(data, masks)
    named = {finding.source for finding in findings}
    splits = distinct_splits(images.splits)
    scans = {name: Scan(split, len(images.labels)) for name, split in splits.items()}
    reads = {name: _reader(split) for name, split in splits.items()}
    inspector = INSPECTORS[images.target](images.labels, data)

    def look(job):
        name, index = job
        return _look(
            name, index, splits[name], reads[name], inspector, images.image_shape[2], max_pixels, data.exif_orientation
        )

    jobs = ((name, index) for name, split in splits.items() for index in range(split.size))
    notes: dict[str, list[str]] = {}
    for seen in track(map_in_threads(look, jobs), sum(split.size for split in splits.values())):
        scans[seen.split].add(seen)
        for note in seen.notes:
            notes.setdefault(note, []).append(splits[seen.split].source(seen.index))
        findings += [finding for finding in seen.findings if finding.source not in named]
    for name, scan in scans.items():
        if splits[name].held_out:  # a small class may have no held-out image
            continue
        what = f"has no {inspector.counted} in this split"
        known = {(finding.kind, finding.split, finding.source) for finding in findings}
        labels = [images.labels[label] for label in np.flatnonzero(scan.class_counts == 0)]
        empty = [Finding("empty class", name, f'class "{label}"', what) for label in labels]
        findings += [each for each in empty if (each.kind, each.split, each.source) not in known]
    findings += copies(scans, inspector)
    if near_duplicates >= 0:
        findings += look_alikes(scans, near_duplicates)
    reports = {name: scan.report(images.target == "boxes") for name, scan in scans.items()}
    kinds = {finding.kind for finding in findings}
    passed_over = {what: count for what, count in images.passed_over.items() if what not in kinds}
    return Report(images.labels, reports, findings, passed_over, notes)


def _open(data, masks) -> tuple[ImageSet, list[Finding]]:
    kind = data.name.partition(":")[0]
    try:
        if kind in ("folder", "tfrecord"):
            return _open_folder(data) if kind == "folder" else _open_tfrecord(data, masks)
        images = open_image_set(data, masks)
        return images, [*images.problems, *images.findings]
    except (OSError, tf.errors.OpError) as error:
        what = reason(error) if isinstance(error, tf.errors.OpError) else error
        raise DataError(f"data.name: {data.name}: cannot be read ({what})") from None


def _open_folder(data):
    """Loads a folder like `load_folder`, but returns its problems as findings."""
    scan = scan_folder(data.name.partition(":")[2], data.channels)
    return set_of_scan(scan, data), list(scan.problems)


def _open_tfrecord(data, masks):
    """Loads TFRecord files like `load_tfrecord`, but skips broken files and returns them as findings."""
    root, findings = data.name.partition(":")[2], []
    files = tfrecord.files_of_splits(root)
    labels, records = tfrecord.read_labels(root, data), {}
    for name, paths in files.items():
        problems = dict(zip(paths, map_in_threads(_problem_of_records, paths), strict=True))
        findings += [Finding(problem[0], name, path, problem[1]) for path, problem in problems.items() if problem]
        whole = [path for path, problem in problems.items() if not problem]
        if whole:
            records[name] = index_records(whole)
    if not findings:
        return tfrecord.load_tfrecord(data, masks), []
    return tfrecord.set_of_records(data, labels, records, masks), findings


def _problem_of_records(path):
    try:
        return None if len(index_records([path])) else ("empty", "has 0 bytes")
    except DataError as error:
        return "broken file", str(error).removeprefix(f"{path}: ")


def _reader(split):
    """Returns `split.read`, for records as a graph, which takes a fifth of the time."""
    if split.labels is not None:
        return split.read
    function = tf.function(split.read, autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec((), tf.int64))  # once, not in each of the threads

    def read(index):
        try:
            return graph(index)
        except tf.errors.OpError:  # the eager error says more about the cause
            return split.read(index)

    return read


def _look(name, index, split: Split, read, inspector: Inspector, channels, max_pixels, exif) -> Look:
    target: Inspected | None = None
    findings: list[Finding] = []
    notes: list[str] = []

    def found(kind, what):
        findings.append(Finding(kind, name, split.source(index), what))

    def result(**passed):
        return Look(name, index, target, findings=tuple(findings), notes=tuple(notes), **passed)

    try:
        with tf.device("CPU:0"):
            image, given = read(tf.constant(index, tf.int64))
            target, content = inspector.inspect(given), image.numpy()
            notes += target.notes
            for kind, what in target.problems:
                found(kind, what)
            if split.unusable:
                findings += [Finding(kind, name, source, what) for kind, source, what in split.unusable(index)]
            stored = isinstance(content, bytes)
            header = (read_header(content) or pillow_header(content)) if stored else None
            if stored and not content:
                found("empty", "has 0 bytes")
                return result()
            if header and header.height * header.width > max_pixels:
                found(
                    "too large",
                    f"{header.height} x {header.width} pixels, more than {max_pixels} (--max_pixels); not decoded",
                )
                return result()
            pixels = decode(image, channels, exif)
            height, width = pixels.shape[:2]
            looks = difference_hash(pixels)
    except tf.errors.OpError as error:
        what = reason(error)
        found(next((kind for part, kind in _KINDS.items() if part in what), "unreadable"), what)
        return result()
    if split.stated_sizes is not None and (problem := size_problem(split.stated_sizes[index], (height, width))):
        found("wrong size", problem)
    if stored and (note := oddity(content, exif)):
        notes.append(note)
    return result(digest=hashlib.sha256(content).digest(), size=(height, width), looks=looks)
