"""Paints scenes: scikit-learn's handwritten digits on its two photographs, for boxes without a download.

| set | image | target |
|---|---|---|
| `scenes` | 128 x 128 pixels, up to 8 digits of 10 to 77 pixels, shuffled digits as decoys | boxes, masks |
| `scene_digits` | 32 x 32 pixels, one painted digit | its class |
| `scene_objects` | 80 x 80 pixels, one digit of 30 to 60 pixels in front of smaller decoys | its box |

Digits overlap, so boxes and masks are those of the visible part. A digit of which less than half is visible is to be
ignored: finding it is neither right nor wrong. An image is a function of its split and its index. Training images use
the left 70 % of the photographs and the training split of `digits`, other images the rest.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.data.embedded import split_indices
from keras_resnet.data.image_set import ImageSet, Split, split_of_arrays
from keras_resnet.data.objects import Objects, area_of, split_of_objects
from keras_resnet.data.run_lengths import encode

SPLITS = ("train", "validation", "test")
SIDE, SCENES = 128, {"train": 2000, "validation": 250, "test": 500}
DIGIT_SIDE, DIGITS = 32, {"train": 16_000, "validation": 1000, "test": 2000}
OBJECT_SIDE, OBJECTS = 80, {"train": 4000, "validation": 500, "test": 1000}
LABELS = tuple(map(str, range(10)))
MAX_DIGITS = 8
VISIBLE = 0.5  # least share of a digit's pixels that makes it an object
_LEFT = 0.7  # share of a photograph's width that is for training
_OPAQUE = 0.35  # alpha from which a pixel belongs to the digit
_CONTRAST = 50  # least mean difference of a digit's color from its surroundings, of 255


@dataclass(frozen=True)
class Scene:
    """An image and its R digits.

    Attributes:
        image: (H, W, 3) uint8.
        labels: (R,) int32.
        boxes: (R, 4) float32, y1 x1 y2 x2 in pixels, of the visible parts.
        masks: (R, H, W) bool, the visible parts.
        ignored: (R,) bool, whether less than `VISIBLE` of the digit is visible.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    ignored: np.ndarray


@functools.cache
def _sources():
    """Returns (digits (N, 8, 8) in [0, 1], labels (N,), indices of each split, photographs)."""
    from sklearn.datasets import load_digits, load_sample_images

    bunch = load_digits()
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    return bunch.images / 16, bunch.target, split_indices(bunch.target), photographs


def paint_scene(split: str, index: int) -> Scene:
    """Returns the scene of a split at an index."""
    random = np.random.RandomState((0, SPLITS.index(split), index))
    image = _background(random, split, SIDE, 64)
    digits = min(random.poisson(3.2), MAX_DIGITS)
    kinds = np.array(["digit"] * digits + ["decoy"] * random.poisson(1.5))
    found: list[dict] = []
    for kind in random.permutation(kinds):
        pixels, label = _digit(random, split)
        glyph = _glyph(random, _shuffled(random, pixels) if kind == "decoy" else pixels, _between(random, 14, 64))
        if max(glyph.shape) >= SIDE:
            continue
        mask = _paint(random, image, glyph)
        for below in found:
            below["visible"] &= ~mask
        found.append({"label": label, "decoy": kind == "decoy", "pixels": mask.sum(), "visible": mask.copy()})
    shown = [each for each in found if not each["decoy"] and each["visible"].any()]
    return Scene(
        image=np.clip(np.rint(image), 0, 255).astype(np.uint8),
        labels=np.array([each["label"] for each in shown], np.int32),
        boxes=np.array([_box(each["visible"]) for each in shown], np.float32).reshape(-1, 4),
        masks=np.array([each["visible"] for each in shown], bool).reshape(-1, SIDE, SIDE),
        ignored=np.array([each["visible"].sum() < VISIBLE * each["pixels"] for each in shown], bool),
    )


def paint_digit(split: str, index: int) -> tuple[np.ndarray, int]:
    """Returns (image (32, 32, 3) uint8, class) of one painted digit of a split at an index."""
    random = np.random.RandomState((1, SPLITS.index(split), index))
    image = _background(random, split, DIGIT_SIDE, 16)
    pixels, label = _digit(random, split)
    _paint(random, image, _glyph(random, pixels, random.uniform(14, 24)))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), label


def paint_object(split: str, index: int) -> tuple[np.ndarray, int, tuple[int, int, int, int]]:
    """Returns (image (80, 80, 3) uint8, class, box) of the one digit of a split at an index: y1 x1 y2 x2 in pixels."""
    random = np.random.RandomState((2, SPLITS.index(split), index))
    image = _background(random, split, OBJECT_SIDE, 40)
    for _ in range(random.poisson(1.0)):
        _paint(random, image, _glyph(random, _shuffled(random, _digit(random, split)[0]), _between(random, 10, 20)))
    pixels, label = _digit(random, split)
    mask = _paint(random, image, _glyph(random, pixels, _between(random, 30, 60)))
    top, left, bottom, right = map(int, _box(mask))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), label, (top, left, bottom, right)


def _background(random, split, side, smallest):
    """Returns a resized square part of a photograph (side, side, 3) float32, of at least `smallest` pixels a side."""
    photograph = _sources()[3][random.randint(2)]
    cut = int(photograph.width * _LEFT)
    first, width = (0, cut) if split == "train" else (cut, photograph.width - cut)
    size = random.randint(smallest, min(width, photograph.height) + 1)
    top, left = random.randint(photograph.height - size + 1), first + random.randint(width - size + 1)
    part = (left, top, left + size, top + size)
    square = photograph.resize((side, side), Image.Resampling.BILINEAR, part, reducing_gap=2)
    pixels = np.asarray(square, np.float32)
    return (pixels[:, ::-1] if random.rand() < 0.5 else pixels).copy()


def _digit(random, split):
    images, labels, indices, _ = _sources()
    index = random.choice(indices[split])
    return images[index], int(labels[index])


def _between(random, low, high):
    """Returns a number between two others, evenly distributed in its logarithm."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _shuffled(random, pixels):
    """Returns a digit whose quadrants are exchanged, at most one of them in its place: strokes, but no digit."""
    quadrants = [pixels[:4, :4], pixels[:4, 4:], pixels[4:, :4], pixels[4:, 4:]]
    order = random.permutation(4)
    while (order == np.arange(4)).sum() > 1:
        order = random.permutation(4)
    a, b, c, d = (quadrants[i] for i in order)
    return np.block([[a, b], [c, d]])


def _glyph(random, pixels, height):
    """Returns a digit's alpha (h, w), stretched to about `height` pixels and rotated by up to 15 degrees, cut out."""
    height, width = max(8, round(height)), max(8, round(height * _between(random, 0.75, 1.2)))
    drawn = Image.fromarray((255 * pixels).astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    drawn = drawn.rotate(random.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    alpha = np.asarray(drawn, np.float32) / 255
    top, left, bottom, right = map(int, _box(alpha >= _OPAQUE))
    return alpha[top:bottom, left:right]


def _paint(random, image, glyph):
    """Paints a glyph at a random place, in a color that stands out and with noise; returns its mask (H, W)."""
    height, width = glyph.shape
    top, left = random.randint(image.shape[0] - height + 1), random.randint(image.shape[1] - width + 1)
    under = image[top : top + height, left : left + width]
    around, color = under.mean((0, 1)), random.uniform(0, 255, 3)
    while np.abs(color - around).mean() < _CONTRAST:
        color = random.uniform(0, 255, 3)
    alpha = np.clip(1.6 * glyph, 0, 1)[..., None]
    under[:] = under * (1 - alpha) + alpha * (color + 10 * random.standard_normal((height, width, 1)))
    mask = np.zeros(image.shape[:2], bool)
    mask[top : top + height, left : left + width] = glyph >= _OPAQUE
    return mask


def _box(mask):
    """mask (H, W) -> y1 x1 y2 x2 of its pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def load_scene_digits(data: Data) -> ImageSet:
    """Returns single painted digits with their classes."""
    splits = {name: _when_read("scene_digits", name, size, _paint_digits) for name, size in DIGITS.items()}
    return ImageSet("scene_digits", LABELS, (DIGIT_SIDE, DIGIT_SIDE, 3), splits)


def _paint_digits(name, size):
    images, labels = zip(*(paint_digit(name, index) for index in range(size)), strict=True)
    return split_of_arrays(np.stack(images), np.array(labels), f"scene_digits {name}")


def load_scenes(data: Data, masks: bool = False) -> ImageSet:
    """Returns scenes with the boxes, and with the masks if asked for, of their digits."""
    splits = {
        name: replace(
            _when_read("scenes", name, size, functools.partial(_paint_scenes, masks=masks)), max_objects=MAX_DIGITS
        )
        for name, size in SCENES.items()
    }
    return ImageSet("scenes", LABELS, (SIDE, SIDE, 3), splits, target="boxes")


def _paint_scenes(name, size, masks):
    scenes = [paint_scene(name, index) for index in range(size)]
    with tf.device("CPU:0"):
        images = tf.constant(np.stack([scene.image for scene in scenes]))
    objects = [
        Objects(
            each.boxes,
            each.labels,
            each.ignored,
            each.masks.sum((1, 2)),
            [encode(mask) for mask in each.masks] if masks else None,
        )
        for each in scenes
    ]
    return split_of_objects(
        objects, lambda index: tf.gather(images, index), lambda index: f"scenes {name} image {index}"
    )


def load_scene_objects(data: Data) -> ImageSet:
    """Returns images of one digit with its box."""
    splits = {
        name: replace(_when_read("scene_objects", name, size, _paint_objects), max_objects=1)
        for name, size in OBJECTS.items()
    }
    return ImageSet("scene_objects", LABELS, (OBJECT_SIDE, OBJECT_SIDE, 3), splits, target="boxes")


def _paint_objects(name, size):
    images, labels, boxes = zip(*(paint_object(name, index) for index in range(size)), strict=True)
    with tf.device("CPU:0"):
        stacked = tf.constant(np.stack(images))
    objects = [Objects([box], [label], [False], [area_of(box)]) for label, box in zip(labels, boxes, strict=True)]
    return split_of_objects(
        objects, lambda index: tf.gather(stacked, index), lambda index: f"scene_objects {name} image {index}"
    )


def _when_read(images: str, name: str, size: int, paint: Callable[[str, int], Split]) -> Split:
    """Returns a split whose images are painted when the first of them is read: most commands need one split."""

    @functools.cache
    def painted():
        print(f"painting {size:,} images of {images}, {name}", file=sys.stderr, flush=True)  # up to half a minute
        with tf.init_scope():  # tensors of the first graph that reads would be of no use to others
            return paint(name, size)

    return Split(
        size,
        lambda index: painted().read(index),
        lambda index: f"{images} {name} image {index}",
        masks=lambda index: painted().masks(index),
    )
