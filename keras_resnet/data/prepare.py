"""Converts a folder of images to TFRecord files, which `data.name: tfrecord:PATH` reads.

Splits, classes and held-out images are those of the set: `folder:PATH` or `csv:PATH`, whose records have the ImageNet
layout, or `coco:PATH`, `voc:PATH` and `imagenet_det:PATH`, whose records have tf-models-official's for detection.
"""

import io
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.data.decode import decode, image_size
from keras_resnet.data.header import MAX_PIXELS, Header, read_header
from keras_resnet.data.image_set import Split, distinct_splits
from keras_resnet.data.pillow_formats import as_png, pillow_format, pillow_header
from keras_resnet.data.pipeline import reason
from keras_resnet.data.record_objects import AREA, CORNERS, IS_CROWD, MASKS, OBJECT_LABEL, resized_mask
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.tfrecord import LABEL, LABELS
from keras_resnet.data.threads import map_in_threads
from keras_resnet.description import ExifOrientation
from keras_resnet.errors import ConfigError, DataError, DiskError


@dataclass(frozen=True)
class Prepared:
    """The result of `prepare`: images of each split, skipped images, bytes of the images and of the files, number of
    files, and `passed_over` as in `ImageSet`."""

    images: dict[str, int]
    skipped: int
    bytes_before: int
    bytes_after: int
    files: int
    passed_over: Mapping[str, int] = field(default_factory=dict)


def prepare(
    data: Data,
    output: str,
    *,
    masks: bool = False,
    max_side: int | None = None,
    quality: int = 90,
    shard_bytes: int = 100 * 10**6,
    warn: Callable[[str], None] = lambda line: None,
    track: Callable = lambda pictures, total: pictures,
) -> Prepared:
    """Writes `output`, completely or not at all.

    Args:
        data: a folder of images, with boxes or without, its held-out fractions, and how to handle unreadable images.
        output: a folder that is empty or does not exist.
        masks: store the masks of objects too. An object whose mask cannot be used is left out.
        max_side: greatest height or width in pixels; larger images are downscaled. None keeps all unchanged.
        quality: JPEG quality of converted images, 1 to 100.
        shard_bytes: a file is closed when it has this many bytes.
        warn: called with a line for each skipped image.
        track: (iterable of results, their number) -> the same results; may show progress.

    Raises:
        ConfigError: `output` cannot be used, or the images have no masks.
        DataError: the folder is not a set of images, or an image is unreadable.
        DiskError: the disk is full.
    """
    if data.channels:
        raise ConfigError("data.channels: records hold images in color; train on the folder itself")
    root, output = data.name.partition(":")[2], os.path.realpath(output)
    _check_output(root, output)
    images = load_image_set(data, None, masks)
    root = os.path.dirname(root) if os.path.isfile(root) else root
    if any(split.probabilities is not None for split in images.splits.values()):
        raise ConfigError(f"data.name: {data.name}: its records would lack the probabilities of the classes")
    splits = distinct_splits(images.splits)
    orders = {name: np.arange(split.size) for name, split in splits.items()}
    orders["train"] = np.random.RandomState(0).permutation(splits["train"].size)
    jobs = ((name, int(index)) for name, order in orders.items() for index in order)

    def encode(job):
        name, index = job
        return name, _record(splits[name], index, images.labels, root, max_side, quality, data.exif_orientation)

    staging = f"{output}.tmp-{os.getpid()}"
    try:
        os.makedirs(staging)
        results = track(map_in_threads(encode, jobs), sum(map(len, orders.values())))
        prepared = _write(results, staging, shard_bytes, warn if data.on_unreadable_image == "skip" else None)
        if not prepared.images.get("train"):
            raise DataError(f"data.name: {data.name}: no image is left to train on")
        with open(os.path.join(staging, LABELS), "w", encoding="utf-8") as file:
            file.write("\n".join(images.labels) + "\n")
        os.rename(staging, output)
    except (OSError, tf.errors.OpError) as error:
        what = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DiskError(f"{output}: cannot be written ({what}); nothing is there") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return replace(prepared, passed_over=images.passed_over)


def _check_output(root, output):
    if os.path.exists(output) and not (os.path.isdir(output) and not os.listdir(output)):
        raise ConfigError(f"{output}: already exists and is not an empty folder; name another")
    if os.path.join(output, "").startswith(os.path.join(os.path.realpath(root), "")):
        raise ConfigError(f"{output}: lies inside {root}, where it would become a class; name another")


@dataclass(frozen=True)
class _Record:
    """A serialized example, or the problem of its image; `size` is the original image's number of bytes."""

    source: str
    example: bytes = b""
    problem: str = ""
    size: int = 0


def _record(split: Split, index: int, labels, root: str, max_side: int | None, quality: int, exif) -> _Record:
    source = split.source(index)
    try:
        with tf.device("CPU:0"):
            image, target = split.read(tf.constant(index, tf.int64))
            content = image.numpy()
            encoded, header = convert(content, max_side, quality, exif)
            if isinstance(target, dict):
                more = _object_features(target, content, header, labels)
            else:
                more = {LABEL: int(target) + 1, "image/class/text": labels[int(target)].encode()}
    except tf.errors.OpError as error:
        return _Record(source, problem=reason(error))
    except ValueError as error:
        return _Record(source, problem=str(error))
    features = {
        "image/encoded": encoded,
        "image/format": header.format.encode(),
        "image/filename": os.path.relpath(source, root).encode(),
        "image/height": header.height,
        "image/width": header.width,
        **more,
    }
    example = tf.train.Example(features=tf.train.Features(feature={k: _feature(v) for k, v in features.items()}))
    return _Record(source, example.SerializeToString(), size=len(content))


def _object_features(objects, content, header, labels):
    """Returns the features of objects; areas are those in the stored image, of the size in `header`."""
    original = read_header(content) or pillow_header(content)
    size = image_size(tf.constant(content), (original.height, original.width) if original else (0, 0)).numpy()
    boxes = objects["boxes"].numpy() / np.tile(size, 2).astype(np.float32)
    classes = objects["classes"].numpy()
    scale = header.height * header.width / float(size.prod())
    masks = {}
    if "masks" in objects:
        stored_size = (header.height, header.width) if scale != 1 else tuple(size)
        masks[MASKS] = [resized_mask(mask, tuple(size), stored_size) for mask in objects["masks"].numpy()]
    return (
        masks
        | dict(zip(CORNERS, boxes.T, strict=True))
        | {
            OBJECT_LABEL: classes + 1,
            "image/object/class/text": [labels[label].encode() for label in classes],
            IS_CROWD: objects["ignored"].numpy().astype(np.int64),
            AREA: objects["areas"].numpy() * scale,
        }
    )


def _feature(value):
    """Returns the feature of a number, of bytes, of an array (R,), or of a list of bytes."""
    values = value if isinstance(value, list | np.ndarray) else [value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if isinstance(value, int | np.ndarray):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def convert(
    content: bytes, max_side: int | None, quality: int, exif: ExifOrientation = "apply"
) -> tuple[bytes, Header]:
    """Converts the bytes of an image to the bytes to store, and returns them with their header.

    AVIF, TIFF and HEIC, which TensorFlow does not decode, become PNG first. The bytes are unchanged, with EXIF data,
    if `max_side` is None, or if the image is a gray or RGB JPEG or PNG with no longer side. Otherwise the pixels that
    training would see are stored without EXIF data, as a gray or RGB JPEG of the same aspect ratio.

    Raises:
        tf.errors.OpError, ValueError: training cannot read the image.
    """
    if not content:
        raise ValueError("has 0 bytes")
    if pillow_format(content):
        try:
            content = as_png(content)
        except DataError as error:
            raise ValueError(str(error)) from None
    header = read_header(content)
    if header and header.height * header.width > MAX_PIXELS:
        raise ValueError(f"{header.height} x {header.width} pixels are more than {MAX_PIXELS}")
    pixels = decode(tf.constant(content), 3, exif)
    if not header:
        raise ValueError("its header is damaged")
    height, width = pixels.shape[:2]
    plain = header.format in ("JPEG", "PNG") and header.channels in (1, 3)
    if max_side is None or (plain and max(height, width) <= max_side):
        lying = exif == "apply" and header.orientation > 4
        return content, Header(header.format, *((width, height) if lying else (height, width)), header.channels)
    scale = min(1.0, max_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    gray = header.channels <= 2
    picture = Image.fromarray(pixels.numpy()[..., 0] if gray else pixels.numpy())
    if scale < 1:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue(), Header("JPEG", size[1], size[0], 1 if gray else 3)


def _write(results, folder, shard_bytes, warn) -> Prepared:
    """Writes the records of each split, in the given order, into files of about `shard_bytes` bytes."""
    images: dict[str, int] = {}
    files: dict[str, list[_Shard]] = {}
    skipped = before = 0
    for name, record in results:
        if record.problem and not warn:
            raise DataError(f"{record.source}: {record.problem}; --on_unreadable_image=skip skips unreadable images")
        if record.problem:
            warn(f"skipped: {record.source}: {record.problem}")
            skipped += 1
            continue
        shards = files.setdefault(name, [])
        if not shards or shards[-1].bytes >= shard_bytes:
            if shards:
                shards[-1].close()
            shards.append(_Shard(os.path.join(folder, f"{name}-{len(shards):05d}")))
        shards[-1].write(record.example)
        images[name] = images.get(name, 0) + 1
        before += record.size
    for shards in files.values():
        shards[-1].close()
        for shard in shards:
            os.rename(shard.path, f"{shard.path}-of-{len(shards):05d}")
    everything = [shard for shards in files.values() for shard in shards]
    return Prepared(images, skipped, before, sum(shard.bytes for shard in everything), len(everything))


class _Shard:
    """A TFRecord file that is being written."""

    def __init__(self, path):
        self.path, self.bytes = path, 0
        self._writer = tf.io.TFRecordWriter(path)

    def write(self, example):
        self._writer.write(example)
        self.bytes += len(example) + 16  # length and two checksums

    def close(self):
        self._writer.close()
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
