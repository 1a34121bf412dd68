"""Where figures can be watched. A dashboard has `write(step, {name: figure})` and `close()`."""

import os

import tensorflow as tf

from keras_resnet.config import Config
from keras_resnet.errors import ConfigError
from keras_resnet.training.run_folder import RunFolder


def open_dashboards(config: Config, folder: RunFolder) -> list:
    """TensorBoard always, Weights & Biases where `train.wandb_project` names a project.

    Raises:
        ConfigError: wandb is not installed, or does not start.
    """
    asked = [WeightsAndBiases(config, folder)] if config.train.wandb_project else []
    return [TensorBoard(folder), *asked]


class TensorBoard:
    """Event files in the run's folder."""

    def __init__(self, folder: RunFolder):
        self._writer = tf.summary.create_file_writer(folder.tensorboard)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Adds scalars."""
        with self._writer.as_default(step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)

    def close(self) -> None:
        """Flushes the events."""
        self._writer.close()


class WeightsAndBiases:
    """A run of wandb, which is an optional package; a run that goes on continues it."""

    def __init__(self, config: Config, folder: RunFolder):
        project = config.train.wandb_project
        try:
            import wandb
        except ImportError:
            raise ConfigError(f"train.wandb_project: {project}: wandb is not installed; pip install wandb") from None
        name = os.path.basename(os.path.abspath(folder.path))
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                id=f"{name}-{config.digest()}",
                resume="allow",
                dir=folder.path,
                config=config.model_dump(mode="json"),
            )
        except wandb.Error as error:
            raise ConfigError(f"train.wandb_project: {project}: {error}") from None

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Adds a row."""
        self._run.log(figures, step=step)

    def close(self) -> None:
        """Waits until everything is stored."""
        self._run.finish()
