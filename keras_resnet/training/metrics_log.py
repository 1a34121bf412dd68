"""Figures over steps: metrics.jsonl, TensorBoard, and a picture of the curves."""

import json
import os

import tensorflow as tf

from keras_resnet.training.run_folder import RunFolder, write_text


class MetricsLog:
    """Writes figures as they come; in metrics.jsonl each step once, also when a run goes on from an earlier step.

    metrics.jsonl holds no times: the file of a run that was interrupted equals that of one that was not.
    """

    def __init__(self, folder: RunFolder, start_step: int):
        self._folder = folder
        kept = [line for line in read_metrics(folder.metrics) if line.get("step", start_step + 1) <= start_step]
        write_text(folder.metrics, "".join(json.dumps(line) + "\n" for line in kept))
        self._writer = tf.summary.create_file_writer(folder.tensorboard)

    def write(self, step: int, figures: dict[str, float], only_tensorboard: dict[str, float] | None = None) -> None:
        """Adds a line {"step": step, name: figure, ...}; names have the form "train/loss"."""
        with open(self._folder.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | figures) + "\n")
        with self._writer.as_default(step):
            for name, value in (figures | (only_tensorboard or {})).items():
                tf.summary.scalar(name, value)

    def close(self) -> None:
        """Flushes TensorBoard's events."""
        self._writer.close()


def read_metrics(path: str) -> list[dict]:
    """The lines of a metrics file; a last one that a crash cut off is left out."""
    lines = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for text in file:
                try:
                    lines.append(json.loads(text))
                except json.JSONDecodeError:
                    break
    return lines


def draw_curves(folder: RunFolder, title: str) -> None:
    """Draws errors (percent), losses and the learning rate over steps into curves.png."""
    from matplotlib.figure import Figure

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
    figure.savefig(folder.curves, dpi=130)
