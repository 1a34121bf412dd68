"""What a run shows: the summary before it starts, then a progress bar in a terminal or plain lines elsewhere."""

import math
import sys
import time

import tensorflow as tf
from rich.console import Console

from keras_resnet.analysis.complexity import count_parameters
from keras_resnet.console import ProgressBar, time_left
from keras_resnet.processor import describe, emulates_bfloat16
from keras_resnet.task import Metric


class ProgressReporter:
    """Shows the summary, the progress and the warnings of one run.

    Args:
        total: steps of the run.
        batch_size: images per step.
        monitor: name of the validation metric that the bar shows, and how it is shown.
        silent: print only warnings; for all workers except the chief.
    """

    def __init__(self, total: int, batch_size: int, monitor: tuple[str, Metric], silent: bool = False):
        self._total, self._batch_size, self._silent = total, batch_size, silent
        self._monitor, self._metric = monitor
        self._console = Console(highlight=False, soft_wrap=True)
        self._bar = ProgressBar(self._console, "step", total)
        self._validation = ""

    def say(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if not self._silent:
            self._console.print(text, markup=False)

    def table(self, title: str, rows: dict[str, str]) -> None:
        """Prints a title and aligned "name  value" lines."""
        width = max(map(len, rows))
        self.say(title)
        for name, value in rows.items():
            self.say(f"  {name:<{width}}  {value}")

    def warn(self, text: str) -> None:
        """Prints a warning to stderr, also in silent mode."""
        print(f"WARNING: {text}", file=sys.stderr, flush=True)

    def start(self, step: int) -> None:
        """Starts the timer; the images per second exclude the first step, which traces the graph."""
        self._first = step
        self._began: float | None = None
        if not self._silent:
            self._bar.start(step, "tracing the graph")

    def step_done(self, step: int) -> None:
        """Updates the bar after a step."""
        if self._began is None:
            self._first, self._began = step, time.monotonic()
            return
        if self._bar.is_bar:
            self._bar.show(step, self._status(step))

    def rewind(self, step: int) -> None:
        """Continues from an earlier step."""
        self._first, self._began = step, None
        if self._bar.is_bar:
            self._bar.show(step, self._status(step))

    def show_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Shows the newest metrics; the line of the last step is always printed."""
        shown = "  ".join(
            f"{name} {value:.4g}"
            for name, value in metrics.items()
            if not name.endswith(("learning_rate", "gradient_norm"))
        )
        if any(name.startswith("validation") for name in metrics):
            value = metrics.get(f"validation/{self._monitor}")
            self._validation = "" if value is None else self._metric.text(value)
        if self._bar.is_bar or self._silent:
            return
        if step == self._total or self._bar.is_due():
            self._bar.show(step, f"{self._status(step)}  {shown}")

    def stop(self) -> None:
        """Removes the bar."""
        self._bar.stop()

    def images_per_second(self, step: int) -> float:
        """Returns the images per second since the second step; 0 before it."""
        if self._began is None or step <= self._first:
            return 0.0
        return (step - self._first) * self._batch_size / max(time.monotonic() - self._began, 1e-9)

    def _status(self, step):
        rate = self.images_per_second(step)
        left = time_left((self._total - step) * self._batch_size / rate if rate else None)
        validation = f"  validation {self._monitor} {self._validation}" if self._bar.is_bar and self._validation else ""
        return f"{step}/{self._total}  {rate:.0f} images/s  {left}{validation}"


def summary(task, model, strategy: tf.distribute.Strategy, workdir: str, step: int, began_from: str | None):
    """Returns (title, {name: value}) of a run that starts after `step`."""
    config, train = task.config, task.config.train
    replicas = strategy.num_replicas_in_sync
    devices = sorted({name.split("/")[-1].removeprefix("device:") for name in strategy.extended.worker_devices})
    epochs = train.total_steps * train.batch_size / task.train_size
    precision = f"{train.precision}{_slower(devices, train.precision)}"
    parts = f" in {train.gradient_accumulation_steps} parts each" if train.gradient_accumulation_steps > 1 else ""
    learned = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    rows = {
        **task.overview(model),
        "devices": f"{type(strategy).__name__}: {', '.join(devices)}; {precision}",
        "batch": f"{train.batch_size} = {replicas} x {train.batch_size // replicas}{parts}",
        "steps": f"{train.total_steps:,} ({epochs:.1f} epochs), {train.schedule} schedule from {train.peak_rate:g}",
    }
    if _on_cpus(devices):
        rows["processor"] = describe()
    if learned < count_parameters(model):
        rows["trains"] = f"{learned:,} of {count_parameters(model):,} parameters"
    if began_from:
        rows["starts from"] = began_from
    rows["workdir"] = workdir
    if step:
        rows["resuming"] = f"from step {step:,}"
    return f"Training {config.model.name} on {config.data.name}", rows


def _on_cpus(devices):
    return all(device.startswith("CPU") for device in devices)


def _slower(devices, precision):
    """Returns a note if the processor emulates the precision, else ""."""
    emulated = _on_cpus(devices) and "bfloat16" in precision and emulates_bfloat16()
    return ", which this processor emulates: slower than float32" if emulated else ""
