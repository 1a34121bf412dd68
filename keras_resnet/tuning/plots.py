"""Draws the loss over the learning rate, and speed and memory over the batch size."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from keras_resnet.files import write_atomically
from keras_resnet.tuning.batch_size import BatchSizeRow
from keras_resnet.tuning.learning_rate import STOP_RATIO, RangeTest

_BLUE, _ORANGE, _GRAY = "#0072B2", "#D55E00", "#999999"


def draw_learning_rate(path: str, test: RangeTest, title: str) -> None:
    """Draws losses and their average over the logarithm of the learning rate into a PNG file."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(test.rates, test.losses, color=_GRAY, linewidth=0.8, label="batch")
    axes.plot(test.rates, test.averages, color=_BLUE, linewidth=2, label="moving average")
    if test.suggestion is not None:
        axes.axvline(test.suggestion, color=_ORANGE, linestyle="--", label=f"suggestion: {test.suggestion:g}")
    lowest, first = min(*test.losses, *test.averages), test.averages[0]
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.set_ylim(
        lowest - 0.1 * abs(first), min(max(test.losses), STOP_RATIO * max(lowest, 0.3 * first)) + 0.1 * abs(first)
    )
    axes.legend(frameon=False)
    _write(figure, axes, path, title)


def draw_batch_size(path: str, rows: Sequence[BatchSizeRow], suggestion: int | None, title: str) -> None:
    """Draws images per second and memory over the batch size into a PNG file."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    speeds = {row.batch_size: row.images_per_second for row in rows if row.images_per_second is not None}
    sizes = [*speeds]
    axes.plot(sizes, [*speeds.values()], color=_BLUE, marker="o")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set(xlabel="batch size", ylabel="images per second", ylim=(0, None))
    axes.yaxis.label.set_color(_BLUE)
    held = {row.batch_size: row.memory / 1e9 for row in rows if row.memory and row.batch_size in speeds}
    if held:
        memory = axes.twinx()
        memory.plot([*held], [*held.values()], color=_GRAY, marker=".")
        memory.set(ylabel="memory in GB", ylim=(0, None))
        memory.yaxis.label.set_color(_GRAY)
        memory.spines["top"].set_visible(False)
    if suggestion is not None:
        axes.axvline(suggestion, color=_ORANGE, linestyle="--", label=f"suggestion: {suggestion}")
        axes.legend(frameon=False)
    _write(figure, axes, path, title)


def _write(figure, axes, path, title):
    axes.spines["top"].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_title(title, fontsize=11, parse_math=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_atomically(path, content.getvalue())
