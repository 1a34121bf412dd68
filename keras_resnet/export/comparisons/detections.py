"""Compares the objects that a detector finds."""

import numpy as np

IMAGES, NOISE = 64, 0  # in noise, all scores are near the threshold, which rounding crosses
COLUMNS = ("box error", "score error", "found")
_IOU, _SCORE = 0.9, 0.1  # least IoU and greatest difference of scores of one object in two artifacts
# Largest differences of a box in pixels and of a score, and least share of objects that both find. A score next to the
# threshold, or an IoU next to that of suppression, may fall on the other side.
_LIMITS = {"float32": (0.01, 1e-4, 0.99), "float16": (None, None, 0.95)}


def compared(actual, expected, real):
    """Returns the largest differences of boxes and scores found by both, and the share of objects that both find.

    Raises:
        ValueError: the values are not finite or have another shape.
    """
    for name, values in expected.items():
        if actual[name].shape != values.shape or not np.isfinite(actual[name]).all():
            raise ValueError(f"{name} of shape {actual[name].shape}, expected {values.shape} and finite")
    boxes, scores, both, found = 0.0, 0.0, 0, 0
    for image in range(len(expected["num_detections"])):
        ours, theirs = (_objects(outputs, image) for outputs in (actual, expected))
        found += len(ours) + len(theirs)
        for box, score, number in theirs:
            near = [each for each in ours if each[2] == number and abs(each[1] - score) <= _SCORE]
            nearest = max(near, key=lambda each: _iou(each[0], box), default=None)
            if nearest is not None and _iou(nearest[0], box) >= _IOU:
                ours = [each for each in ours if each is not nearest]
                boxes = max(boxes, float(np.abs(nearest[0] - box).max()))
                scores = max(scores, abs(float(nearest[1] - score)))
                both += 2
    return {
        "box_error": boxes,
        "score_error": scores,
        "found_by_both": both / found if found else 1.0,
        "objects": int(np.sum(expected["num_detections"])),
        "real_images": real,
        "images": len(expected["num_detections"]),
    }


def _objects(outputs, image):
    """Returns (box (4,), score, class) of each object that is found in an image."""
    count = int(outputs["num_detections"][image])
    return list(zip(*(outputs[name][image, :count] for name in ("boxes", "scores", "classes")), strict=True))


def _iou(a, b):
    overlap = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return overlap / max((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap, 1e-9)


def tolerance(artifact, exact, least=None):
    """Returns {"box_error": most pixels or None, "score_error": maximum or None, "found_by_both": minimum}."""
    return dict(zip(("box_error", "score_error", "found_by_both"), _LIMITS[artifact["precision"]], strict=True))


def holds(parity, tolerance):
    """Returns whether the measured parity is within the tolerances."""
    limits = [(parity[name], tolerance[name]) for name in ("box_error", "score_error")]
    return (
        all(limit is None or value <= limit for value, limit in limits)
        and parity["found_by_both"] >= tolerance["found_by_both"]
    )


def outside(parity, tolerance):
    """Returns what is wrong, in a few words."""
    texts = [
        f"{what} differ by {parity[name]:.2g}{unit}, allowed {tolerance[name]:g}"
        for name, what, unit in (("box_error", "boxes", " pixels"), ("score_error", "scores", ""))
        if tolerance[name] is not None
    ]
    found = f"{100 * parity['found_by_both']:.1f} % of {parity['objects']} objects found by both"
    return "; ".join([*texts, f"{found}, at least {100 * tolerance['found_by_both']:.0f} % expected"])


def cells(parity):
    """Returns the differences and the share, as texts."""
    return (
        f"{parity['box_error']:.1e} px",
        f"{parity['score_error']:.1e}",
        f"{100 * parity['found_by_both']:.1f} %",
    )
