"""Plots of a run: its curves, and its first training images."""

import io
import math

import numpy as np
from matplotlib.figure import Figure

from keras_resnet.files import write_atomically
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.metrics import read_metrics


def draw_examples(path: str, images: np.ndarray, captions: list[str]) -> None:
    """Draws images (N, H, W, C) in [0, 255] with their captions into a PNG file, eight per row."""
    columns = min(8, len(images))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.6 * columns, 1.85 * rows), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
    for cell, image, caption in zip(cells, images, captions, strict=False):
        gray = image.shape[-1] != 3
        pixels = np.clip(image[..., 0] if gray else image, 0, 255).astype(np.uint8)
        cell.imshow(pixels, cmap="gray" if gray else None, vmin=0, vmax=255)
        cell.set_title(caption if len(caption) <= 22 else caption[:21] + "…", fontsize=7)
    write_atomically(path, _png(figure))


def draw_curves(folder: RunFolder, title: str) -> None:
    """Draws errors (percent), losses and the learning rate over steps into curves.png."""
    lines = read_metrics(folder.metrics)
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    error, loss, rate = figure.subplots(1, 3)
    for axes, unit, name in ((error, "error (%)", "error"), (loss, "cross entropy", "loss")):
        for split, color, width in (("train", "#0072B2", 1.0), ("validation", "#D55E00", 1.8)):
            points = [(line["step"], line[f"{split}/{name}"]) for line in lines if f"{split}/{name}" in line]
            if points:
                axes.plot(*zip(*points, strict=True), color=color, linewidth=width, label=split)
        axes.set(xlabel="step", ylabel=unit)
        axes.legend(frameon=False)
    loss.set_yscale("log")
    error.set_ylim(bottom=0)
    points = [(line["step"], line["train/learning_rate"]) for line in lines if "train/learning_rate" in line]
    if points:
        rate.plot(*zip(*points, strict=True), color="black", linewidth=1.0)
    rate.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
    for axes in (error, loss, rate):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    write_atomically(folder.curves, _png(figure))


def _png(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return content.getvalue()
