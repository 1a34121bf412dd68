"""Turns the outputs of networks, logits or detections, into predictions."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_resnet.inference.answers import Prediction
from keras_resnet.inference.pasting import pasted


def best_classes(logits: np.ndarray, labels: Sequence[str], top_k: int) -> list[Prediction]:
    """logits (N, classes) -> N predictions; for equal scores, the smaller class comes first."""
    logits = logits.astype(np.float64)
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    order = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]
    return [
        Prediction(tuple(best.tolist()), tuple(labels[i] for i in best), tuple(row[best].tolist()))
        for row, best in zip(scores, order, strict=True)
    ]


def labels_above(
    logits: np.ndarray, labels: Sequence[str], thresholds: Sequence[float], top_k: int
) -> list[Prediction]:
    """logits (N, classes) -> N predictions: the classes whose sigmoid is their threshold or more, best first."""
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    accepted = scores >= np.asarray(thresholds)
    order = np.argsort(np.where(accepted, -scores, 1.0), axis=-1, kind="stable")[:, :top_k]
    predictions = []
    for row, of_row, best in zip(scores, accepted, order, strict=True):
        kept = best[of_row[best]]
        names = tuple(labels[i] for i in kept)
        predictions.append(Prediction(tuple(kept.tolist()), names, tuple(row[kept].tolist())))
    return predictions


def best_objects(
    outputs: Mapping[str, np.ndarray],
    labels: Sequence[str],
    top_k: int,
    sizes: Sequence[tuple[int, int]],
    side: int,
    crop_pct: float | None = None,
) -> list[Prediction]:
    """Returns the predictions of N images from `Predictor.detections` of these images, prepared.

    Args:
        outputs: see `Predictor.detections`.
        labels: the class names.
        top_k: greatest number of objects of an image.
        sizes: (height, width) of each image in pixels.
        side: height and width of the prepared images.
        crop_pct: that of images which are resized and cropped; None for letterboxed ones.
    """
    predictions = []
    for row, (height, width) in enumerate(sizes):
        count = int(outputs["num_detections"][row])
        boxes = _in_image(outputs["boxes"][row, :count], (height, width), side, crop_pct)
        boxes = np.clip(boxes, 0, [height, width, height, width])
        found = {name: value[row] for name, value in outputs.items() if name in ("classes", "scores", "masks")}
        predictions.append(objects_of(found | {"boxes": boxes}, labels, top_k, (height, width), crop_pct is None))
    return predictions


def _in_image(boxes, size, side, crop_pct):
    """Boxes (R, 4) in pixels of a prepared image -> in pixels of the image, of `size`."""
    if crop_pct is None:
        return boxes * (max(size) / side)
    shape = np.asarray(size, np.float32)
    scaled = np.round(shape * (np.float32(round(side / crop_pct)) / shape.min()))
    return (boxes + np.tile((scaled - side) // 2, 2)) / np.tile(scaled / shape, 2)


def have_area(boxes: np.ndarray) -> np.ndarray:
    """boxes (R, 4), y1 x1 y2 x2 -> (R,) bool: false for one that was found beside the image, in its letterbox."""
    larger: np.ndarray = boxes[:, 2:] > boxes[:, :2]
    return larger[:, 0] & larger[:, 1]


def objects_of(
    found: Mapping[str, np.ndarray], labels: Sequence[str], top_k: int, size: tuple[int, int], letterboxed: bool
) -> Prediction:
    """Returns the prediction of one image.

    Args:
        found: "boxes" (R, 4) in pixels of the image; "classes", "scores" and any "masks" of R objects or more.
        labels: the class names.
        top_k: greatest number of objects.
        size: height and width of the image.
        letterboxed: it was letterboxed; what has no area in the image is left out.
    """
    rows = np.flatnonzero(have_area(found["boxes"]) | (not letterboxed))[:top_k]
    boxes, numbers = found["boxes"][rows], found["classes"][rows].tolist()
    named = tuple(labels[number] if number < len(labels) else str(number) for number in numbers)
    masks = None
    if "masks" in found:
        whole = pasted(found["masks"][rows], boxes, size)
        masks = tuple({"size": list(size), "counts": mask.decode()} for mask in whole)
    scores = tuple(found["scores"][rows].tolist())
    return Prediction(tuple(numbers), named, scores, tuple(tuple(box) for box in boxes.tolist()), masks)
