"""Provides the `Task` protocol, which defines the model, data and metrics for `fit`; `tasks.py` names its classes."""

import math
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from keras_resnet.config import Config, resolve
from keras_resnet.description import Description
from keras_resnet.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a metric is shown and compared: a row of a task's table of metrics, {name in metrics.jsonl: row}.

    Attributes:
        unit: "%", or "" for a metric without a unit.
        better: whether lower or higher values are better.
        precedence: its place, from 1, among the metrics that compare checkpoints. None: it compares none.
        compared: whether `keras-resnet compare` has a column for it. That of precedence 1 always has one.
        short: its name in tables. None: its name in metrics.jsonl, with spaces.
        axis: label of its axis in curves.png. None: it is not plotted.
        log_axis: whether that axis is logarithmic; others start at 0.
    """

    unit: Literal["", "%"] = ""
    better: Literal["lower", "higher"] = "lower"
    precedence: int | None = None
    compared: bool = False
    short: str | None = None
    axis: str | None = None
    log_axis: bool = False

    def text(self, value: float) -> str:
        """Returns a value with its unit."""
        return f"{value:.2f} %" if self.unit == "%" else f"{value:.4f}"

    def rank(self, value: float | None) -> float:
        """Returns a number that is smaller for better values; infinity for a value that could not be computed."""
        if value is None:
            return math.inf
        return value if self.better == "lower" else -value


def metrics_of(task: str) -> dict[str, Metric]:
    """Returns the table of metrics of a task, by the task's name."""
    return pkgutil.resolve_name(TASKS[task].metrics)


def monitored(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Returns the names of the metrics that compare checkpoints, in order of precedence."""
    ranked = [(metric.precedence, name) for name, metric in metrics.items() if metric.precedence is not None]
    return tuple(name for _, name in sorted(ranked))


def ranks(metrics: Mapping[str, Metric], values: Mapping[str, float]) -> list[float]:
    """Returns a list of numbers that is smaller for better metrics, which are compared in order of precedence."""
    return [metrics[name].rank(values.get(name)) for name in monitored(metrics)]


class Collector(Protocol):
    """Collects what an evaluation returns for single images, on the host, and computes metrics from it."""

    def add(self, outputs: dict[str, Any]) -> None:
        """Adds the arrays {name: (N, ...)} of one step, in the order of the images, with padding."""

    def metrics(self) -> dict[str, float]:
        """Returns the metrics over all images; without those that are not defined for them."""


@runtime_checkable
class CalibratingCollector(Collector, Protocol):
    """A collector of the validation split that also determines a part of the model, such as thresholds."""

    def calibrated(self, description: Description) -> Description:
        """Returns the model description with what the evaluation determines; `fit` saves it with the weights."""


class Task(Protocol):
    """A learning task, such as classification. `fit` supports every implementation of this protocol.

    Attributes:
        config: the run's configuration, with durations resolved to steps.
        description: the network, its preprocessing and its class names.
        labels: a name for each class.
        image_shape: (H, W, C) of the network's input.
        train_size: number of training images.
        sizes: number of images of every split.
        metrics: the task's table of metrics, {name: row}.
        earlier_weights: weights of the finished runs of `Config.earlier_runs`, {their name: path}.
    """

    config: Config
    description: Description
    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train_size: int
    sizes: dict[str, int]
    metrics: Mapping[str, Metric]
    earlier_weights: Mapping[str, str]

    def build_model(self) -> Any:
        """Builds a new `keras.Model`; under a strategy, `fit` calls it in the strategy's scope."""

    def check_training(self) -> None:
        """Checks what only training needs; called before the run's folder is made.

        Raises:
            ConfigError: the configuration does not fit the data set.
        """

    def prepare_training(self) -> None:
        """Loads what only training needs, such as a teacher; under a strategy, in the strategy's scope."""

    def overview(self, model: Any) -> dict[str, str]:
        """Returns {name: text} about the network and the images, for the start of a run."""

    def start_from(self, model: Any) -> str | None:
        """Sets the configured initial weights, if any, and returns their name; not called when a run resumes."""

    def train_dataset(self, start_step: int, shard: Any) -> Any:
        """Returns this worker's batches from `start_step` to the last step, a tf.data dataset of known cardinality.

        With `data.tf_data_service`, its elements are (step, batch) in any order.
        """

    def eval_dataset(self, split: str, shard: Any) -> Any:
        """Returns this worker's batches that cover a split once, a tf.data dataset of known cardinality."""

    def eval_steps(self, split: str) -> int:
        """Returns the number of steps in an evaluation of the split."""

    def train_image_errors(self, step: int) -> list[str]:
        """Returns a line for each unreadable training sample of a step, with the name of its file."""

    def train_samples(self, step: int) -> list[str]:
        """Returns the location of each training sample of a step, over all workers."""

    def eval_image_errors(self, split: str, step: int) -> list[str]:
        """Returns a line for each unreadable sample of an evaluation step, with the name of its file."""

    def example_batch(self, count: int) -> tuple[Any, list[str]]:
        """Returns the first `count` training images after augmentation, and their captions."""

    def loss(self, model: Any, batch: Any) -> tuple[Any, dict[str, Any]]:
        """model, one replica's batch -> (losses (N,) to minimize, sums {name: ()} to report).

        `model` is a function with the model's arguments. The sums of `loss` and of `evaluate` include "images", the
        number of images that count, and "loss".
        """

    def evaluate(self, model: Any, batch: Any) -> dict[str, Any]:
        """model, one replica's evaluation batch -> sums {name: ()} over its images, and tensors {name: (N, ...)}.

        Sums leave padding out. Tensors have a row for each image of the batch; `collector` receives them.
        """

    def collector(self, split: str) -> Collector | None:
        """Returns a new collector for an evaluation of the split; None if `evaluate` returns sums alone."""

    def summarize(self, sums: dict[str, float]) -> dict[str, float]:
        """Returns the metrics, such as the error in percent, from sums over all images."""

    def example_images(self, count: int) -> Any:
        """Returns at most `count` images (N, H, W, C) float32 in [0, 255] that artifacts are compared on.

        They are real images, and the same in every call.
        """

    def calibration_images(self, count: int) -> Any:
        """Returns at most `count` training images, preprocessed as in validation, for the calibration of int8."""


def load_task(config: Config, description: Description | None = None) -> Task:
    """Creates the task that the configuration names, and loads its data set.

    Args:
        config: the run's configuration.
        description: description of a trained network, whose preprocessing and classes are used; the data set must have
            these classes. None for a new network.

    Raises:
        UserError: the data set is not available, or does not fit the network.
    """
    task = pkgutil.resolve_name(TASKS[config.task].task)(config, description)
    task.config = resolve(config, task.train_size)
    return task
