"""What `fit` needs to know of what is learned: the `Task` protocol, and its implementations by name."""

import importlib
from typing import Any, Protocol

from keras_resnet.config import Config, resolve
from keras_resnet.description import Description

_TASKS = {"classification": "keras_resnet.classification.task:Classification"}


class Task(Protocol):
    """One kind of learning. `fit` is written once against it.

    Attributes:
        config: the run's configuration, its time resolved to steps.
        description: the network, how images are prepared for it, and what its classes are called.
        labels: a name for each class.
        image_shape: (H, W, C) that the network takes.
        train_size: training images.
        sizes: images of every split.
        monitor: names of the evaluation's figures by which checkpoints are compared, smaller is better, in
            order of precedence.
    """

    config: Config
    description: Description
    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train_size: int
    sizes: dict[str, int]
    monitor: tuple[str, ...]

    def build_model(self) -> Any:
        """A new `keras.Model`; under a strategy, called in its scope."""

    def start_from(self, model: Any) -> str | None:
        """Sets the weights that the configuration starts from, and says which; not called when a run goes on."""

    def train_dataset(self, start_step: int, shard: Any) -> Any:
        """Batches of this worker from `start_step` to the configured steps, as tf.data of known cardinality.

        With `data.tf_data_service`, (step, batch) in any order.
        """

    def eval_dataset(self, split: str, shard: Any) -> Any:
        """Batches of this worker that cover a split once, as tf.data of known cardinality."""

    def eval_steps(self, split: str) -> int:
        """Steps that an evaluation of the split takes."""

    def train_faults(self, step: int) -> list[str]:
        """A line for each training sample of a step that cannot be read, naming its file."""

    def train_samples(self, step: int) -> list[str]:
        """Where each training sample of a step lies, over all workers."""

    def eval_faults(self, split: str, step: int) -> list[str]:
        """The same for a step of an evaluation."""

    def example_batch(self, count: int) -> tuple[Any, list[str]]:
        """The first `count` training images as the network sees them, and what they show."""

    def loss(self, model: Any, batch: Any) -> tuple[Any, dict[str, Any]]:
        """What is called as the model, one replica's batch -> (losses (N,) to minimize, sums {name: ()} to report).

        Among the sums, here and in `evaluate`, are "images", how many counted, and "loss".
        """

    def evaluate(self, model: Any, batch: Any) -> dict[str, Any]:
        """One replica's evaluation batch -> sums {name: ()}, over its images alone."""

    def summarize(self, sums: dict[str, float]) -> dict[str, float]:
        """Sums over all images -> figures, such as the error in percent."""

    def example_images(self, count: int) -> Any:
        """At most `count` images (N, H, W, C) float32 in [0, 255] to compare artifacts on; real, always the same."""

    def calibration_images(self, count: int) -> Any:
        """The same of the training images, prepared as in validation: int8 chooses its ranges by them."""


def load_task(config: Config, description: Description | None = None) -> Task:
    """Makes the task that the configuration names, with its data set.

    Args:
        config: the run's configuration.
        description: of a trained network; its preprocessing and its classes apply, and the data set has to have these
            classes. None: of a new one.

    Raises:
        UserError: the data set cannot be had, or does not fit the network.
    """
    module, name = _TASKS[config.task].split(":")
    task = getattr(importlib.import_module(module), name)(config, description)
    task.config = resolve(config, task.train_size)
    return task
