"""Defines the tolerances of published artifacts and writes the export report."""

import hashlib
import json
import os

from keras_resnet.export.formats import EXPORT_FORMATS

# Largest difference from the network's logits, relative to the largest logit, and least share of real images with the
# same best class. Rounding to fewer digits changes logits measurably and may swap classes of nearly equal logits.
_SCORES = {"float32": 1e-4, "uint8": 0.0025, "int8": 0.0025}  # integers have steps of 1/256
_ROUNDED = {"float16": (0.02, 0.999), "bfloat16": (0.1, 0.99), "dynamic": (0.3, 0.99), "int8": (0.5, 0.99)}


def tolerances(artifact: dict, agreement: float | None = None) -> dict:
    """Returns {"relative_error": maximum, "top1_agreement": minimum or None} of an artifact of `export_model`.

    A file of batch 1 is compared with the scores of the file that it was made from.
    """
    format_, precision = artifact["format"], artifact["precision"]
    if "batch" in artifact:
        return {"relative_error": _SCORES[artifact["interface"]], "top1_agreement": None}
    if precision == "float32":
        return {"relative_error": EXPORT_FORMATS[format_].tolerance, "top1_agreement": None}
    error, share = _ROUNDED[precision]
    return {"relative_error": error, "top1_agreement": share if agreement is None else agreement}


def holds(parity: dict, tolerance: dict) -> bool:
    """Returns whether the measured parity is within the tolerances."""
    share, least = parity["top1_agreement"], tolerance["top1_agreement"]
    return parity["relative_error"] <= tolerance["relative_error"] and (
        least is None or share is None or share >= least
    )


def outside(artifact: dict) -> str:
    """Returns what is wrong with an artifact whose parity is outside the tolerances, in a few words."""
    parity, tolerance = artifact["parity"], artifact["tolerance"]
    text = f"{artifact['format']} {artifact['precision']}{_kind(artifact)}: "
    text += f"relative error {parity['relative_error']:.1e}, allowed {tolerance['relative_error']:.0e}"
    if tolerance["top1_agreement"] is not None and parity["top1_agreement"] is not None:
        text += f"; same class for {100 * parity['top1_agreement']:.2f} % of {parity['real_images']} images"
        text += f", at least {100 * tolerance['top1_agreement']:.1f} % expected"
    return text


def file_sums(path: str) -> dict:
    """Returns {"bytes", "sha256": {name: digits}} of a file, or of all files below a folder."""
    paths = [path]
    if os.path.isdir(path):
        paths = sorted(os.path.join(root, name) for root, _, names in os.walk(path) for name in names)
    sums = {}
    for each in paths:
        with open(each, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        sums[os.path.relpath(each, path) if each != path else os.path.basename(path)] = digest
    return {"bytes": sum(map(os.path.getsize, paths)), "sha256": sums}


def write_report(report: dict, path: str) -> None:
    """Writes the report as JSON."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")


def table(report: dict) -> str:
    """Formats the report as a table."""
    rows = [("artifact", "precision", "MB", "max error", "top-1", "batch 1", "batch 8")]
    for artifact in report["artifacts"]:
        parity, speed = artifact["parity"], artifact["images_per_second"]
        share = parity["top1_agreement"]
        rows.append(
            (
                artifact["format"],
                f"{artifact['precision']}{_kind(artifact)}",
                f"{artifact['bytes'] / 1e6:.1f}",
                f"{parity['max_abs_error']:.1e}",
                "-" if share is None else f"{100 * share:.1f} %",
                f"{artifact['latency_ms']['1']:.1f} ms",
                f"{speed['8']:.0f} images/s",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *_memory(report)])


def _kind(artifact):
    """Returns a suffix that distinguishes a LiteRT file of batch 1 from the file of free batch size."""
    if "batch" not in artifact:
        return ""
    interface = artifact["interface"]
    return f", batch {artifact['batch']}" + ("" if interface == "float32" else f", {interface} in and out")


def _memory(report):
    """Yields a line with the memory for serving the SavedModel, or nothing if it was not measured."""
    memory = report.get("memory")
    if memory:
        one, two = (f"{memory[name] / 1e9:.2f} GB" for name in ("peak", "swapping_peak"))
        yield f"memory: a server takes {one} for one version, {two} while two are swapped"
