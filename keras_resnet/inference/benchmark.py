"""Latency, throughput and parity of several networks, in turn in one process."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_resnet.errors import DataError
from keras_resnet.inference.images import decoded, prepared
from keras_resnet.inference.predictor import Predictor

TURNS = 10  # so that what disturbs the machine for a moment meets all models
WARM_UP = 3  # calls before the first is timed
PARTS = 16  # of the two photographs


@dataclass(frozen=True)
class Parity:
    """How two networks agree.

    Attributes:
        relative_error: the largest difference of a logit over the reference's largest logit.
        top1_agreement: the share of images whose best class is the same.
    """

    relative_error: float
    top1_agreement: float


@dataclass(frozen=True)
class Row:
    """One model at one batch size.

    Attributes:
        calls: how many were timed.
        median_ms, p95_ms: milliseconds of a call.
        images_per_second: over all calls.
        speed: the first model's median over this one's.
        parity: with the first model; None where their classes differ in number.
    """

    model: str
    kind: str
    batch_size: int
    calls: int
    median_ms: float
    p95_ms: float
    images_per_second: float
    speed: float
    parity: Parity | None


def benchmark(
    models: Sequence[Predictor],
    batch_sizes: Sequence[int],
    seconds: float,
    images: Sequence[np.ndarray],
    tell: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Times `logits` of all models.

    Args:
        models: what is compared, the first is what the others are compared with.
        batch_sizes: images of a call.
        seconds: for each model and batch size; `TURNS` calls at least.
        images: for each model, the same N images as it takes them (N, H, W, C), for parity and for timing.
        tell: called with a line when a batch size is done.
    """
    logits = [_in_batches(model, each) for model, each in zip(models, images, strict=True)]
    agreements = [parity(each, logits[0]) for each in logits]
    rows = []
    for size in batch_sizes:
        batches = [np.resize(each, (size, *each.shape[1:])) for each in images]
        timed = _timed(models, batches, seconds)
        first = float(np.median(timed[0]))
        for model, taken, agreement in zip(models, timed, agreements, strict=True):
            median, p95 = float(np.median(taken)), float(np.percentile(taken, 95))
            rows.append(
                Row(
                    model=model.source,
                    kind=model.kind,
                    batch_size=size,
                    calls=len(taken),
                    median_ms=1000 * median,
                    p95_ms=1000 * p95,
                    images_per_second=size * len(taken) / float(taken.sum()),
                    speed=first / median,
                    parity=agreement,
                )
            )
        tell(f"batch size {size}: done")
    return rows


def _timed(models, batches, seconds):
    for model, batch in zip(models, batches, strict=True):
        for _ in range(WARM_UP):
            model.logits(batch)
    calls: list[list[float]] = [[] for _ in models]
    for _ in range(TURNS):
        for model, batch, taken in zip(models, batches, calls, strict=True):
            taken += _turn(model, batch, seconds / TURNS)
    return [np.array(taken) for taken in calls]


def _turn(model, batch, seconds):
    """The seconds of each call; one at least."""
    end = time.perf_counter() + seconds
    taken: list[float] = []
    while not taken or time.perf_counter() < end:
        began = time.perf_counter()
        model.logits(batch)
        taken.append(time.perf_counter() - began)
    return taken


def parity(logits: np.ndarray, reference: np.ndarray) -> Parity | None:
    """How logits (N, classes) agree with others; None where they are of other classes."""
    if logits.shape != reference.shape:
        return None
    error = float(np.abs(logits - reference).max() / max(float(np.abs(reference).max()), 1e-12))
    return Parity(error, float((logits.argmax(-1) == reference.argmax(-1)).mean()))


def examples(model: Predictor, contents: Mapping[str, bytes] | None = None) -> np.ndarray:
    """Images (N, H, W, C) as a model takes them: pictures {path: bytes}, or parts of scikit-learn's two photographs.

    Raises:
        DataError: one cannot be decoded.
    """
    channels = model.image_shape[2]
    if contents is None:
        pictures = _parts_of_photographs(channels)
    else:
        pictures = []
        for path, content in contents.items():
            try:
                pictures.append(decoded(content, channels))
            except DataError as error:
                raise DataError(f"--images: {path}: {error}") from None
    return np.stack([prepared(pixels, model.preprocessing, model.image_shape[0]) for pixels in pictures])


def _parts_of_photographs(channels):
    """`PARTS` squares from a fixed seed, (h, h, channels) uint8."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    random = np.random.RandomState(0)
    parts = []
    photographs = load_sample_images().images
    for i in range(PARTS):
        picture = photographs[i % len(photographs)]
        side = random.randint(128, min(picture.shape[:2]) + 1)
        top, left = (random.randint(0, size - side + 1) for size in picture.shape[:2])
        part = picture[top : top + side, left : left + side]
        parts.append(part if channels == 3 else np.asarray(Image.fromarray(part).convert("L"))[..., None])
    return parts


def _in_batches(model, images, size=8):
    return np.concatenate([model.logits(images[i : i + size]) for i in range(0, len(images), size)])
