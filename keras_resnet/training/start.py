"""Starts or resumes the run of a configuration, for the command `train` and for experiments."""

import contextlib
import os
from dataclasses import dataclass

import tensorflow as tf

from keras_resnet.config import Config, check_strategy
from keras_resnet.errors import ConfigError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.lock import locked
from keras_resnet.specs import SPECS
from keras_resnet.task import Task, load_task
from keras_resnet.training.fit import fit
from keras_resnet.training.strategy import is_chief, make_strategy
from keras_resnet.weights.loading import load_pretrained


@dataclass(frozen=True)
class FinishedRun:
    """A run that is trained to its end.

    Attributes:
        task: the task, with the run's resolved configuration.
        strategy: the distribution strategy.
        folder: the run's folder.
        results: the final metrics, as in results.json.
        already_finished: whether the run was already finished.
        writes: whether this process writes the folder; the other workers only read.
    """

    task: Task
    strategy: tf.distribute.Strategy
    folder: RunFolder
    results: dict
    already_finished: bool
    writes: bool


def train_run(
    config: Config,
    workdir: str | None = None,
    *,
    recipe: str = "",
    strategy: str = "one_device",
    virtual_devices: int = 0,
    require_gpus: int = 0,
) -> FinishedRun:
    """Trains the run of a configuration to its end; resumes it if it has a checkpoint.

    Args:
        config: the configuration.
        workdir: the run's folder; default the recipe's default folder, to which the link `latest` then points.
        recipe: path of the configuration file; only for the default folder.
        strategy, virtual_devices, require_gpus: as for `make_strategy`.

    Raises:
        UserError: the configuration, the folder or the data do not allow training; or see `fit`.
    """
    devices = make_strategy(strategy, virtual_devices, require_gpus)
    check_strategy(config, strategy, devices.num_replicas_in_sync)
    task = load_task(config)
    folder = RunFolder(workdir) if workdir else RunFolder.default(recipe, task.config)
    if task.config.model.weights and folder.has_progress():  # the weights file may no longer exist
        task.config = task.config.filled_in_as(folder.read_config())
    else:
        task.config = filled_in_from_weights(task.config, task.labels)
    return _train(task, devices, folder, latest=not workdir)


def _train(task, devices, folder, latest=False):
    """Trains a run, after the runs that come before it."""
    already_finished = folder.read_results() is not None
    if not already_finished:  # a finished run needs neither its teacher nor its data any more
        task.check_training()
    if not is_chief(devices):  # one process writes; the others only read
        return FinishedRun(task, devices, folder, fit(task, devices, folder), already_finished=False, writes=False)
    folder.check_free()
    if not already_finished:
        folder.make()
    with contextlib.nullcontext() if already_finished else locked(folder, print):
        folder.claim(task.config, task.description)
        if not already_finished:
            folder.clean_up()
        if latest:
            folder.point_latest()
        if not already_finished:
            _train_earlier(task, devices, folder)
        results = fit(task, devices, folder)
    return FinishedRun(task, devices, folder, results, already_finished, writes=True)


def _train_earlier(task, devices, folder):
    """Trains the runs that come before a task's, and gives each task the weights of those before it."""
    weights: dict[str, str] = {}
    for name, config in task.config.earlier_runs().items():
        earlier = load_task(config)
        earlier.earlier_weights = dict(weights)
        run = _train(earlier, devices, RunFolder(os.path.join(folder.path, name)))
        weights[name] = run.folder.last_weights
        task.earlier_weights = dict(weights)


def filled_in_from_weights(config: Config, labels: tuple[str, ...] = ()) -> Config:
    """Returns the configuration with null options, such as version, mean and std, filled in from `model.weights`.

    Args:
        config: the configuration.
        labels: the classes of the data set.

    Raises:
        ConfigError: the weights cannot be loaded.
    """
    model = config.model
    if not model.weights:
        return config
    try:
        pretrained = load_pretrained(model.weights, SPECS[model.name], detectors=True)
    except (ValueError, OSError) as error:
        raise ConfigError(f"model.weights: {error}") from None
    return config.filled_in(pretrained.description, labels)
