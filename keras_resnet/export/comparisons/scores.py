"""Compares the logits, or only the scores, of a classifier."""

import numpy as np

IMAGES, NOISE = 1000, 4
# Largest difference from the network's logits, relative to the largest logit, and least share of real images with the
# same best class. Rounding to fewer digits changes logits measurably and may swap classes of nearly equal logits.
_SCORES = {"float32": 1e-4, "uint8": 0.0025, "int8": 0.0025}  # integers have steps of 1/256
_ROUNDED = {"float16": (0.02, 0.999), "bfloat16": (0.1, 0.99), "dynamic": (0.3, 0.99), "int8": (0.5, 0.99)}


def compared(actual, expected, real):
    """Returns the largest error and the share of real images with the same best class.

    Raises:
        ValueError: the values are not finite or have another shape.
    """
    name = "logits" if "logits" in actual else "scores"
    actual, expected = actual[name], expected[name]
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        raise ValueError(f"{name} of shape {actual.shape}, expected {expected.shape} and finite")
    error = float(np.abs(actual - expected).max())
    same = actual[:real].argmax(1) == expected[:real].argmax(1)
    return {
        "max_abs_error": error,
        "relative_error": error / (float(np.abs(expected).max()) if name == "logits" else 1.0),
        "top1_agreement": float(same.mean()) if real else None,
        "real_images": real,
        "images": len(expected),
    }


def tolerance(artifact, exact, least=None):
    """Returns {"relative_error": maximum, "top1_agreement": minimum or None}.

    A file of batch 1 is compared with the scores of the file that it was made from.
    """
    if "interface" in artifact:
        return {"relative_error": _SCORES[artifact["interface"]], "top1_agreement": None}
    if artifact["precision"] == "float32":
        return {"relative_error": exact, "top1_agreement": None}
    error, share = _ROUNDED[artifact["precision"]]
    return {"relative_error": error, "top1_agreement": share if least is None else least}


def holds(parity, tolerance):
    """Returns whether the measured parity is within the tolerances."""
    share, least = parity["top1_agreement"], tolerance["top1_agreement"]
    return parity["relative_error"] <= tolerance["relative_error"] and (
        least is None or share is None or share >= least
    )


def outside(parity, tolerance):
    """Returns what is wrong, in a few words."""
    text = f"relative error {parity['relative_error']:.1e}, allowed {tolerance['relative_error']:.0e}"
    if tolerance["top1_agreement"] is not None and parity["top1_agreement"] is not None:
        text += f"; same class for {100 * parity['top1_agreement']:.2f} % of {parity['real_images']} images"
        text += f", at least {100 * tolerance['top1_agreement']:.1f} % expected"
    return text


def cells(parity):
    """Returns {heading: text} of the largest error and the share of real images with the same best class."""
    share = parity["top1_agreement"]
    return {
        "max error": f"{parity['max_abs_error']:.1e}",
        "top-1": "-" if share is None else f"{100 * share:.1f} %",
    }
