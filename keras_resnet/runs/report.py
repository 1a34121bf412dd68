"""Writes the report of a run: results.json, plots and model card."""

import io
import json
import math

import numpy as np
from matplotlib.figure import Figure

from keras_resnet.config import Config
from keras_resnet.description import Description
from keras_resnet.files import is_file, write_atomically
from keras_resnet.model_card import input_lines, model_card
from keras_resnet.paper_results import published
from keras_resnet.runs.checkpoints import RunState
from keras_resnet.runs.folder import RunFolder, write_text
from keras_resnet.runs.logs import read_metrics
from keras_resnet.task import Metric, metrics_of, monitored
from keras_resnet.tasks import TASKS
from keras_resnet.weights.tensors import read_metadata

_SHOWN_CLASSES = 20


def draw_examples(path: str, images: np.ndarray, captions: list[str]) -> None:
    """Draws images (N, H, W, C) in [0, 255] with their captions into a PNG file, eight per row."""
    columns = min(8, len(images))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.6 * columns, 1.85 * rows), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
        cell.set(xticks=(), yticks=())  # their layout would take a second
    for cell, image, caption in zip(cells, images, captions, strict=False):
        gray = image.shape[-1] != 3
        pixels = np.clip(image[..., 0] if gray else image, 0, 255).astype(np.uint8)
        cell.imshow(pixels, cmap="gray" if gray else None, vmin=0, vmax=255)
        cell.set_title(caption if len(caption) <= 22 else caption[:21] + "…", fontsize=7, parse_math=False)
    write_atomically(path, _png(figure))


def draw_curves(folder: RunFolder, title: str, metrics: dict[str, Metric]) -> None:
    """Draws the metrics that have an axis, by precedence, and the learning rate over steps into curves.png."""
    lines = read_metrics(folder.metrics)
    order = [*monitored(metrics), *metrics]
    shown = sorted((name for name in metrics if metrics[name].axis), key=order.index)
    figure = Figure(figsize=(11 / 3 * (len(shown) + 1), 3.4), layout="constrained")
    *panels, rate = figure.subplots(1, len(shown) + 1)
    for axes, name in zip(panels, shown, strict=True):
        for split, color, width in (("train", "#0072B2", 1.0), ("validation", "#D55E00", 1.8)):
            points = [(line["step"], line[f"{split}/{name}"]) for line in lines if f"{split}/{name}" in line]
            if points:
                axes.plot(*zip(*points, strict=True), color=color, linewidth=width, label=split)
        axes.set(xlabel="step", ylabel=metrics[name].axis)
        if axes.lines:
            axes.legend(frameon=False)
        if metrics[name].log_axis:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    points = [(line["step"], line["train/learning_rate"]) for line in lines if "train/learning_rate" in line]
    if points:
        rate.plot(*zip(*points, strict=True), color="black", linewidth=1.0)
    rate.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
    for axes in (*panels, rate):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    write_atomically(folder.curves, _png(figure))


def _png(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return content.getvalue()


def write_card(folder: RunFolder, task, results: dict) -> None:
    """Writes the model card of a finished run, from its configuration and its results."""
    write_text(folder.card, card(folder, task, results))


def card(folder: RunFolder, task, results: dict) -> str:
    """Returns the model card.

    Args:
        folder: the run's folder, which holds the versions.
        task: the task.
        results: as in results.json.
    """
    config = task.config
    network, data, train = config.model.name, config.data.name, config.train
    lines = [
        results_section(folder, config, task.description, results),
        "",
        "## Use",
        "",
        *input_lines(task.description.preprocessing),
        "",
        "```sh",
        f"keras-resnet export --workdir={folder.path} --output=exports/{network}",
        f"keras-resnet predict exports/{network} IMAGE...",
        "```",
        "",
        "## Limits",
        "",
        f"Tested on images of {data} alone; whoever uses the model elsewhere should test it there. Its errors in",
        f"detail: `keras-resnet evaluate {folder.path} --report=DIR`.",
        "",
        "## Recipe",
        "",
        f"{train.total_steps:,} steps of {train.batch_size} images, seed {train.seed}; all of it:",
        "",
        "```yaml",
        config.to_yaml().rstrip(),
        "```",
    ]
    tag = TASKS[config.task].pipeline_tag
    return model_card(f"{network} on {data}", network, "\n".join(lines), pipeline_tag=tag)


def results_section(folder: RunFolder, config: Config, description: Description, results: dict) -> str:
    """Returns the results of a finished run as Markdown.

    Args:
        folder: the run's folder, which holds the versions.
        config: the run's configuration.
        description: the model description.
        results: as in results.json.
    """
    sizes = [f"{size:,} {name}" for name, size in results.get("images", {}).items()]
    best, environment, metrics = results["best"], folder.read_environment(), metrics_of(config.task)
    lines = [
        "| | last step | best |",
        "|---|---|---|",
        f"| step | {results['steps']:,} | {best['step']:,} |",
        *[
            _row(name, metrics.get(name, Metric()), results["validation"].get(name), value)
            for name, value in best["validation"].items()
        ],
        "",
        *[f"Published: {each.error} % error, {each.protocol} ({each.source})." for each in published(config)],
        f"Images: {', '.join([*sizes, f'{len(description.labels)} classes'])}.",
        f"Training: {results['seconds']:,.0f} s at {results['images_per_second']:,.0f} images per second.",
        f"keras_resnet {environment.get('keras_resnet', '?')}, commit {environment.get('commit') or 'unknown'}, "
        f"TensorFlow {environment.get('tensorflow', '?')}, Keras {environment.get('keras', '?')}.",
        *([f"{results['skipped']} unreadable images were skipped."] if results["skipped"] else []),
        *[f"**{line}**" for line in results.get("findings", [])],
        *(_thresholds(folder) if description.thresholds else []),
        "",
        "![Curves](curves.png)",
    ]
    return "\n".join(lines)


def _thresholds(folder):
    """Returns a line with the thresholds of the best weights, the first ones if there are many classes."""
    best = Description.from_metadata(read_metadata(folder.best_weights)) if is_file(folder.best_weights) else None
    if not best:
        return []
    pairs = [f"{name} {score:.3f}" for name, score in zip(best.labels, best.thresholds, strict=True)]
    more = f" and {len(pairs) - _SHOWN_CLASSES} more" if len(pairs) > _SHOWN_CLASSES else ""
    return ["", f"Thresholds of the best weights: {', '.join(pairs[:_SHOWN_CLASSES])}{more}."]


def _row(name, metric, last, best):
    title = metric.short or name.replace("_", " ")
    return f"| validation {title} | {'' if last is None else metric.text(last)} | {metric.text(best)} |"


def write_final_report(
    folder: RunFolder | None, task, state: RunState, seconds: float, rollbacks: int, findings: list[str]
) -> dict:
    """Writes results.json, the curves and the model card, and returns the results.

    Args:
        folder: the run's folder; None for a process that does not write.
        task: the task.
        state: the state at the last step.
        seconds: seconds of training, over all processes.
        rollbacks: number of rollbacks.
        findings: lines about results that need attention.
    """
    config = task.config
    results = {
        "steps": state.step,
        "validation": state.validation,
        "best": {"step": state.best["step"], "validation": state.best["figures"]},
        "images_per_second": round(state.step * config.train.batch_size / seconds, 1),
        "seconds": round(seconds, 1),
        "images": task.sizes,
        "skipped": len(state.skipped),
        "rollbacks": rollbacks,
    }
    if findings:
        results["findings"] = findings
    if folder:
        draw_curves(folder, f"{config.model.name} on {config.data.name}", metrics_of(config.task))
        write_card(folder, task, results)
        write_text(folder.results, json.dumps(results, indent=1) + "\n")  # written last: it marks the run as finished
    return results
