"""Judges artifacts by their measured parity and writes the export report."""

import hashlib
import importlib
import json
import os
from typing import Any

from keras_resnet.export.formats import EXPORT_FORMATS


def compare_module(name: str) -> Any:
    """Returns a module of `keras_resnet.export.comparisons`, by its name there."""
    return importlib.import_module(f"keras_resnet.export.comparisons.{name}")


def judge(artifact: dict, comparison: str, least: float | None = None) -> list[str]:
    """Adds the tolerances to an artifact with its measured parity; returns what is wrong, or an empty list."""
    module = compare_module(comparison)
    tolerance = module.tolerance(artifact, EXPORT_FORMATS[artifact["format"]].tolerance, least)
    good = bool(module.holds(artifact["parity"], tolerance))
    artifact |= {"tolerance": tolerance, "holds": good}
    text = module.outside(artifact["parity"], tolerance)
    return [] if good else [f"{artifact['format']} {artifact['precision']}{_kind(artifact)}: {text}"]


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
    module = compare_module(report["comparison"])
    rows: list[tuple[str, ...]] = []
    for artifact in report["artifacts"]:
        row = {
            "artifact": artifact["format"],
            "precision": f"{artifact['precision']}{_kind(artifact)}",
            "MB": f"{artifact['bytes'] / 1e6:.1f}",
            **module.cells(artifact["parity"]),
            "batch 1": f"{artifact['latency_ms']['1']:.{1 if artifact['latency_ms']['1'] >= 1 else 2}f} ms",
        }
        largest, rate = max(artifact["images_per_second"].items(), key=lambda item: int(item[0]))
        if largest != "1":
            row[f"batch {largest}"] = f"{rate:.{0 if rate >= 10 else 2}f} images/s"
        rows += [tuple(row.values())] if rows else [tuple(row), tuple(row.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *_memory(report)])


def _kind(artifact):
    """Returns a suffix that distinguishes a LiteRT file of batch 1 from the file of free batch size."""
    if "batch" not in artifact:
        return ""
    interface = artifact.get("interface", "float32")
    return f", batch {artifact['batch']}" + ("" if interface == "float32" else f", {interface} in and out")


def _memory(report):
    """Yields a line with the memory for serving the SavedModel, or nothing if it was not measured."""
    memory = report.get("memory")
    if memory:
        one, two = (f"{memory[name] / 1e9:.2f} GB" for name in ("peak", "swapping_peak"))
        yield f"memory: a server takes {one} for one version, {two} while two are swapped"
