"""The logs of a run: log.txt, metrics.jsonl and dashboards."""

import contextlib
import json
import os
import socket
import time
from datetime import UTC, datetime

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from keras_resnet.config import Config
from keras_resnet.errors import ConfigError, needs
from keras_resnet.files import is_remote, os_errors, read, write_atomically
from keras_resnet.runs.folder import RunFolder, write_text


class RunLog:
    """Appends lines to a file and ignores write errors; silent for all workers except the chief."""

    def __init__(self, path: str, silent: bool = False):
        self._path, self._silent = path, silent

    def write(self, text: str) -> None:
        """Appends a line with the time and the process."""
        if not self._silent:
            with contextlib.suppress(OSError):
                self._add(text)

    def _add(self, text):
        time = datetime.now(UTC).isoformat(timespec="seconds")
        line = f"{time}  {socket.gethostname()}:{os.getpid()}  {text}\n"
        if is_remote(self._path):  # object stores cannot append
            try:
                former = read(self._path)
            except FileNotFoundError:
                former = b""
            write_atomically(self._path, former + line.encode())
        else:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(line)


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

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Adds scalars."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
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

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Adds a row."""
        self._run.log(metrics, step=step)

    def rewind(self, step: int) -> None:
        """Does nothing: wandb cannot rewind, and ignores repeated steps."""

    def close(self) -> None:
        """Waits until wandb has stored all rows."""
        self._run.finish()


class MetricsLog:
    """Writes metrics to metrics.jsonl and the dashboards.

    metrics.jsonl holds each step once, also if a run resumes from an earlier step. It holds no times, so the files of
    an interrupted and an uninterrupted run are equal.

    Args:
        folder: the run's folder.
        start_step: the step that the run starts or resumes from; later lines of an earlier process are removed.
        dashboards: the dashboards to write to, see `keras_resnet.runs.logs`.
    """

    def __init__(self, folder: RunFolder, start_step: int, dashboards=()):
        self._folder, self._dashboards = folder, dashboards
        self._drop_after(start_step)

    def rewind(self, step: int) -> None:
        """Continues from an earlier step: removes the lines after it."""
        self._drop_after(step)
        for dashboard in self._dashboards:
            dashboard.rewind(step)

    def _drop_after(self, step):
        kept = [line for line in read_metrics(self._folder.metrics) if line.get("step", step + 1) <= step]
        self._write_all(kept)

    def _write_all(self, lines):
        write_text(self._folder.metrics, "".join(json.dumps(line) + "\n" for line in lines))

    def write(self, step: int, metrics: dict[str, float], speeds: dict[str, float] | None = None) -> None:
        """Adds a line {"step": step, "train/loss": metric, ...}; dashboards get `speeds` too."""
        line = {"step": step} | metrics
        if is_remote(self._folder.metrics):  # object stores cannot append
            self._write_all([*read_metrics(self._folder.metrics), line])
        else:
            with open(self._folder.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        for dashboard in self._dashboards:
            dashboard.write(step, metrics | (speeds or {}))

    def close(self) -> None:
        """Closes the dashboards."""
        for dashboard in self._dashboards:
            dashboard.close()


def read_metrics(path: str) -> list[dict]:
    """Returns the lines of a metrics file; skips a line that a crash cut off."""
    lines: list[dict] = []
    try:
        content = read(path)
    except FileNotFoundError:
        return lines
    for text in content.decode(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines
