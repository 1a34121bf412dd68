"""Figures over steps: metrics.jsonl, TensorBoard and, where asked for, Weights & Biases."""

import json
import os

import tensorflow as tf

from keras_resnet.config import Config
from keras_resnet.errors import ConfigError
from keras_resnet.training.run_folder import RunFolder, write_text


class MetricsLog:
    """Writes figures as they come; in metrics.jsonl each step once, also when a run goes on from an earlier step.

    metrics.jsonl holds no times: the file of a run that was interrupted equals that of one that was not.
    """

    def __init__(self, folder: RunFolder, start_step: int, config: Config):
        self._folder = folder
        self._wandb = start_wandb(config, folder) if config.train.wandb_project else None
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
        if self._wandb:
            self._wandb.log(figures | (only_tensorboard or {}), step=step)

    def close(self) -> None:
        """Flushes what is still in memory."""
        self._writer.close()
        if self._wandb:
            self._wandb.finish(quiet=True)


def start_wandb(config: Config, folder: RunFolder):
    """Starts, or goes on with, the run of Weights & Biases that belongs to a run's folder.

    Raises:
        ConfigError: wandb is not installed, or does not start.
    """
    try:
        import wandb
    except ImportError:
        raise ConfigError("train.wandb_project: needs wandb, which is not installed; pip install wandb") from None
    name = os.path.basename(os.path.abspath(folder.path))
    try:
        return wandb.init(
            project=config.train.wandb_project,
            name=name,
            id=f"{name}-{config.digest()}",
            resume="allow",
            dir=folder.path,
            config=config.model_dump(mode="json"),
        )
    except wandb.Error as error:
        raise ConfigError(f"train.wandb_project: {config.train.wandb_project}: {error}") from None


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
