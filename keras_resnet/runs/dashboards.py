"""Dashboards that show metrics. A dashboard has `write(step, {name: metric})`, `rewind(step)` and `close()`."""

import os
import time

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from keras_resnet.config import Config
from keras_resnet.errors import ConfigError, needs
from keras_resnet.files import is_remote, os_errors
from keras_resnet.runs.folder import RunFolder


def open_dashboards(config: Config, folder: RunFolder, start_step: int) -> list:
    """Returns TensorBoard, and Weights & Biases if `train.wandb_project` names a project.

    Args:
        config: the run's configuration.
        folder: the run's folder.
        start_step: the step that the run starts or resumes from.

    Raises:
        ConfigError: wandb is not installed, or does not start.
    """
    asked = [WeightsAndBiases(config, folder)] if config.train.wandb_project else []
    return [TensorBoard(folder, start_step), *asked]


class TensorBoard:
    """Writes event files in the run's folder."""

    def __init__(self, folder: RunFolder, start_step: int):
        self._path = folder.tensorboard
        with os_errors(self._path):
            self._writer = EventFileWriter(self._path)
        self.rewind(start_step)

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Adds scalars."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._add(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def rewind(self, step: int) -> None:
        """Makes TensorBoard discard the later steps of other processes."""
        restart = SessionLog(status=SessionLog.START)
        self._add(Event(wall_time=time.time(), step=step + 1, session_log=restart))

    def close(self) -> None:
        """Flushes the events."""
        with os_errors(self._path):
            self._writer.close()

    def _add(self, event):
        with os_errors(self._path):
            self._writer.add_event(event)


class WeightsAndBiases:
    """Writes to a run of wandb, an optional package; a resumed run continues the same wandb run."""

    def __init__(self, config: Config, folder: RunFolder):
        project = config.train.wandb_project
        try:
            import wandb
        except ImportError:
            raise ConfigError(f"train.wandb_project: {project}: {needs('wandb', 'wandb')}") from None
        name = os.path.basename(os.path.abspath(folder.path))
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                id=f"{name}-{config.digest()}",
                resume="allow",
                dir=None if is_remote(folder.path) else folder.path,
                config=config.model_dump(mode="json"),
            )
        except wandb.Error as error:
            raise ConfigError(f"train.wandb_project: {project}: {error}") from None

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Adds a row."""
        self._run.log(figures, step=step)

    def rewind(self, step: int) -> None:
        """Does nothing: wandb cannot rewind, and ignores repeated steps."""

    def close(self) -> None:
        """Waits until wandb has stored all rows."""
        self._run.finish()
