"""A run's network with its weights, ready to be evaluated or exported."""

import sys
from dataclasses import dataclass

import keras
from pydantic import ValidationError

from keras_resnet.config import Config, changed
from keras_resnet.errors import ConfigError
from keras_resnet.files import is_file
from keras_resnet.runs.checkpoints import committed, network_arrays, newest_checkpoint, read_checkpoint
from keras_resnet.runs.folder import RunFolder, check_checkpoint_name
from keras_resnet.task import Task, load_task
from keras_resnet.weights.native import assign_tensors, named_variables
from keras_resnet.weights.tensors import read_metadata, read_tensors


@dataclass(frozen=True)
class Run:
    """Attributes: task; model, float32 and with weights; step of the weights; whether training is finished."""

    task: Task
    model: keras.Model
    step: int
    finished: bool


def load_run(path: str, checkpoint: str = "best", assignments: tuple[str, ...] | list[str] = ()) -> Run:
    """Rebuilds a run's network in float32 and sets its weights.

    Args:
        path: the run's folder, or one of the files that it keeps in weights/.
        checkpoint: of a folder, "best", "last" or a step.
        assignments: "group.key=value" on top of the run's configuration.

    Raises:
        ConfigError: there is no such run or checkpoint, or its weights are damaged.
    """
    try:
        if is_file(path):
            config, arrays, step = _weights_file(path)
            finished = True
        else:
            check_checkpoint_name(checkpoint)
            folder = RunFolder(path)
            config = folder.read_config()
            arrays, step = _weights(folder, checkpoint)
            finished = folder.read_results() is not None
        task = load_task(changed(config, assignments) if assignments else config)
        model = task.build_model()
        assign_tensors(named_variables(model), arrays, path)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Run(task, model, step, finished)


def _weights_file(path):
    """(configuration, tensors by name, step) of a file that a run wrote."""
    metadata = read_metadata(path)
    try:
        return Config.model_validate_json(metadata["config"]), read_tensors(path), int(metadata["step"])
    except (KeyError, ValidationError):
        raise ConfigError(f"{path}: does not say what it belongs to; expected a file of a run's weights/") from None


def _weights(folder, checkpoint):
    """(tensors of the network by name, step)."""
    path = {"best": folder.best_weights, "last": folder.last_weights}.get(checkpoint)
    if path and is_file(path):
        step = read_metadata(path).get("step", "")
        if not step.isdecimal():
            raise ConfigError(f"{path}: is not a run's file: it does not say of which step its weights are")
        return read_tensors(path), int(step)
    there = {str(step): path for step, path in committed(folder.checkpoints)}
    found = None
    if checkpoint == "last":  # of an unfinished run, the newest checkpoint is the last
        found = newest_checkpoint(folder.checkpoints, lambda text: print(f"WARNING: {text}", file=sys.stderr))
    elif checkpoint in there:
        found = read_checkpoint(there[checkpoint])
    if found is None:
        steps = ", ".join(there) or "none"
        raise ConfigError(f"--checkpoint={checkpoint}: {folder.path} has no such weights; steps there: {steps}")
    return network_arrays(found.arrays), found.step
