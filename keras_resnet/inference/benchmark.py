"""Measures latency, throughput and agreement of several networks, in turns in one process."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_resnet.data.photographs import cut_squares
from keras_resnet.errors import DataError
from keras_resnet.inference.answers import BoxPredictor, ClassPredictor
from keras_resnet.inference.images import decoded, prepared

TURNS = 10  # so that a brief disturbance of the machine affects all models
WARM_UP = 3  # untimed calls before the first timed one
SQUARES = 16  # cut from two photographs


Outputs = Mapping[str, np.ndarray]
Compare = Callable[[Outputs, Outputs], Mapping[str, float] | None]


@dataclass(frozen=True)
class Row:
    """The results of one model at one batch size.

    Attributes:
        calls: number of timed calls.
        median_ms, p95_ms: milliseconds per call.
        images_per_second: over all calls.
        speed: the first model's median divided by this model's.
        parity: {measure: value} of the agreement with the first model; None if their outputs have other shapes.
    """

    model: str
    kind: str
    batch_size: int
    calls: int
    median_ms: float
    p95_ms: float
    images_per_second: float
    speed: float
    parity: Mapping[str, float] | None


def benchmark(
    models: Sequence[ClassPredictor | BoxPredictor],
    batch_sizes: Sequence[int],
    seconds: float,
    images: Sequence[np.ndarray],
    tell: Callable[[str], None] = lambda line: None,
    compare: Compare | None = None,
) -> list[Row]:
    """Times the logits of all models, or the detections of all.

    Args:
        models: the models to compare; the first is the reference.
        batch_sizes: images per call.
        seconds: time per model and batch size; at least `TURNS` calls are timed.
        images: the same N images in each model's input format (N, H, W, C), for parity and timing.
        tell: called with a line after each batch size.
        compare: outputs and those of the reference -> `Row.parity`. None: `parity` of logits.
    """
    outputs = [_in_batches(model, each) for model, each in zip(models, images, strict=True)]
    agreements = [(compare or parity)(each, outputs[0]) for each in outputs]
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
            _outputs(model, batch)
    calls: list[list[float]] = [[] for _ in models]
    for _ in range(TURNS):
        for model, batch, taken in zip(models, batches, calls, strict=True):
            taken += _turn(model, batch, seconds / TURNS)
    return [np.array(taken) for taken in calls]


def _turn(model, batch, seconds):
    """Returns the seconds of each call, at least one."""
    end = time.perf_counter() + seconds
    taken: list[float] = []
    while not taken or time.perf_counter() < end:
        began = time.perf_counter()
        _outputs(model, batch)
        taken.append(time.perf_counter() - began)
    return taken


def parity(outputs: Outputs, reference: Outputs) -> dict[str, float] | None:
    """Compares the "logits" (N, classes) of two networks; returns None if their shapes differ.

    Returns:
        "relative_error", the largest difference of a logit, relative to the reference's largest logit, and
        "top1_agreement", the share of images whose best class is the same.
    """
    logits, expected = outputs["logits"], reference["logits"]
    if logits.shape != expected.shape:
        return None
    error = float(np.abs(logits - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    return {
        "relative_error": error,
        "top1_agreement": float((logits.argmax(-1) == expected.argmax(-1)).mean()),
    }


def examples(model: ClassPredictor | BoxPredictor, contents: Mapping[str, bytes] | None = None) -> np.ndarray:
    """Returns model inputs (N, H, W, C): from images {path: bytes}, or squares of two photographs.

    Raises:
        DataError: an image cannot be decoded.
    """
    channels = model.image_shape[2]
    if contents is None:
        pictures = _squares(channels)
    else:
        pictures = []
        for path, content in contents.items():
            try:
                pictures.append(decoded(content, channels, model.preprocessing.exif_orientation))
            except DataError as error:
                raise DataError(f"--images: {path}: {error}") from None
    return np.stack([prepared(pixels, model.preprocessing, model.image_shape[:2]) for pixels in pictures])


def _squares(channels):
    """Returns `SQUARES` squares of photographs (h, h, channels) uint8."""
    from PIL import Image

    squares = cut_squares(SQUARES)
    if channels == 3:
        return list(squares)
    grays = [np.asarray(Image.fromarray(each).convert("L"))[..., None] for each in squares]
    return [np.repeat(each, channels, -1) for each in grays]


def _outputs(model, images):
    return model.detections(images) if model.finds_boxes else {"logits": model.logits(images)}


def _in_batches(model, images, size=8):
    parts = [_outputs(model, images[i : i + size]) for i in range(0, len(images), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
