"""Compares the objects that a detector finds."""

import numpy as np

IMAGES, NOISE = 64, 0  # in noise, all scores are near the threshold, which rounding crosses
_IOU, _SCORE = 0.9, 0.1  # least IoU and greatest difference of scores of one object in two artifacts
# Largest differences of a box in pixels, of a score and of a mask's probability, and least share of objects that both
# find. A score next to the threshold, or an IoU next to that of suppression, may fall on the other side.
_NAMES = ("box_error", "score_error", "mask_error", "found_by_both")
_LIMITS = {"float32": (0.01, 1e-4, 1e-3, 0.99), "float16": (None, None, None, 0.95)}


def compared(actual, expected, real):
    """Returns the largest differences of what is found by both, and the share of objects that both find.

    The difference of masks is there if the detector finds masks.

    Raises:
        ValueError: the values are not finite or have another shape.
    """
    for name, values in expected.items():
        if actual[name].shape != values.shape or not np.isfinite(actual[name]).all():
            raise ValueError(f"{name} of shape {actual[name].shape}, expected {values.shape} and finite")
    boxes, scores, masks, both, found = 0.0, 0.0, 0.0, 0, 0
    for image in range(len(expected["num_detections"])):
        ours, theirs = (_objects(outputs, image) for outputs in (actual, expected))
        found += len(ours) + len(theirs)
        for box, score, number, place in theirs:
            near = [each for each in ours if each[2] == number and abs(each[1] - score) <= _SCORE]
            nearest = max(near, key=lambda each: _iou(each[0], box), default=None)
            if nearest is not None and _iou(nearest[0], box) >= _IOU:
                ours = [each for each in ours if each is not nearest]
                boxes = max(boxes, float(np.abs(nearest[0] - box).max()))
                scores = max(scores, abs(float(nearest[1] - score)))
                if "masks" in expected:
                    one, other = actual["masks"][image, nearest[3]], expected["masks"][image, place]
                    masks = max(masks, float(np.abs(one - other).max()))
                both += 2
    return {
        "box_error": boxes,
        "score_error": scores,
        **({"mask_error": masks} if "masks" in expected else {}),
        "found_by_both": both / found if found else 1.0,
        "objects": int(np.sum(expected["num_detections"])),
        "real_images": real,
        "images": len(expected["num_detections"]),
    }


def _objects(outputs, image):
    """Returns (box (4,), score, class, row) of each object that is found in an image."""
    count = int(outputs["num_detections"][image])
    values = (outputs[name][image, :count] for name in ("boxes", "scores", "classes"))
    return list(zip(*values, range(count), strict=True))


def _iou(a, b):
    overlap = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return overlap / max((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - overlap, 1e-9)


def tolerance(artifact, exact, least=None):
    """Returns {"box_error": most pixels or None, "score_error", "mask_error": maximum or None, "found_by_both"}."""
    return dict(zip(_NAMES, _LIMITS[artifact["precision"]], strict=True))


def holds(parity, tolerance):
    """Returns whether the measured parity is within the tolerances."""
    errors = (name for name in _NAMES[:-1] if name in parity and tolerance[name] is not None)
    return (
        all(parity[name] <= tolerance[name] for name in errors)
        and parity["found_by_both"] >= tolerance["found_by_both"]
    )


def outside(parity, tolerance):
    """Returns what is wrong, in a few words."""
    texts = [
        f"{what} differ by {parity[name]:.2g}{unit}, allowed {tolerance[name]:g}"
        for name, what, unit in zip(_NAMES, ("boxes", "scores", "masks"), (" pixels", "", ""), strict=False)
        if name in parity and tolerance[name] is not None
    ]
    found = f"{100 * parity['found_by_both']:.1f} % of {parity['objects']} objects found by both"
    return "; ".join([*texts, f"{found}, at least {100 * tolerance['found_by_both']:.0f} % expected"])


def cells(parity):
    """Returns {heading: text} of the differences and the share."""
    found = {"box error": f"{parity['box_error']:.1e} px", "score error": f"{parity['score_error']:.1e}"}
    if "mask_error" in parity:
        found["mask error"] = f"{parity['mask_error']:.1e}"
    return found | {"found": f"{100 * parity['found_by_both']:.1f} %"}
