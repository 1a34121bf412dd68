"""A run's network with its weights, or a network of weights alone, ready to be evaluated or exported."""

import json
import sys
from dataclasses import dataclass

import keras

from keras_resnet.config import Config, changed, validate
from keras_resnet.config.data import Data
from keras_resnet.config.groups import Eval
from keras_resnet.config.model import Model
from keras_resnet.config.train import Train
from keras_resnet.errors import ConfigError
from keras_resnet.files import is_file
from keras_resnet.runs.checkpoints import committed, network_arrays, newest_checkpoint, read_checkpoint
from keras_resnet.runs.folder import RunFolder, check_checkpoint_name
from keras_resnet.specs import SPECS
from keras_resnet.task import Task, load_task
from keras_resnet.weights.loading import load_pretrained, set_pretrained
from keras_resnet.weights.native import assign_tensors, named_variables
from keras_resnet.weights.reading import is_safetensors
from keras_resnet.weights.tensors import read_metadata, read_tensors
from keras_resnet.yaml_files import Located


@dataclass(frozen=True)
class Run:
    """A network and what it was made for.

    Attributes:
        task: what is learnt.
        model: float32, with weights.
        step: of the weights, None where no run of this package made them.
        finished: whether training is.
    """

    task: Task
    model: keras.Model
    step: int | None
    finished: bool


def load_run(path: str, checkpoint: str = "best", assignments: tuple[str, ...] | list[str] = ()) -> Run:
    """Rebuilds a run's network in float32 and sets its weights.

    Args:
        path: the run's folder, one of the files that it keeps in weights/, or weights of any source.
        checkpoint: of a run's folder, "best", "last" or a step.
        assignments: "group.key=value" on top of the run's configuration; of weights alone, "data.name=..." at least.

    Raises:
        ConfigError: there is no such run or checkpoint, or its weights are damaged.
    """
    try:
        if not RunFolder(path).is_run() and not is_of_a_run(path):
            return _weights_alone(path, assignments)
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


def is_of_a_run(path: str) -> bool:
    """Whether a file of weights is one that a run wrote, with its configuration."""
    try:
        return is_file(path) and is_safetensors(path) and "config" in read_metadata(path)
    except ValueError:  # neither that nor anything else
        return False


def _weights_alone(path, assignments):
    """The network of weights that no run of this package wrote, tested as their source says."""
    pretrained = load_pretrained(path)
    for line in pretrained.assumed:
        print(f"{path}: assumed: {line}", file=sys.stderr)
    about, preparation = pretrained.description, pretrained.description.preparation
    if about.spec.name not in SPECS:
        raise ConfigError(
            f"{path}: its network is no row of keras_resnet.SPECS; load it with keras_resnet.from_weights"
        )
    if not any(assignment.startswith("data.name=") for assignment in assignments):
        raise ConfigError(
            f"{path}: weights do not say on which images; add --set=data.name=folder:PATH, or another set"
        )
    config = Config(
        model=Model.of(about.spec, preparation),
        data=Data(image_size=preparation.image_size),
        train=Train(steps=1),
        eval=Eval(crop_fraction=preparation.crop_fraction, interpolation=preparation.interpolation),
    )
    task = load_task(changed(config, assignments))
    if pretrained.classes != len(task.labels) or (about.labels and about.labels != task.labels):
        there = ", ".join(map(str, about.labels[:5])) or f"{pretrained.classes or 'no'} classes"
        raise ConfigError(
            f"{path}: is for other classes ({there}) than {task.config.data.name} ({', '.join(task.labels[:5])})"
        )
    model = task.build_model()
    set_pretrained(model, pretrained)
    return Run(task, model, None, True)


def _weights_file(path):
    """(configuration, tensors by name, step) of a file that a run wrote."""
    metadata = read_metadata(path)
    try:
        config, step = json.loads(metadata["config"]), int(metadata["step"])
    except (KeyError, ValueError):
        raise ConfigError(f"{path}: does not say what it belongs to; expected a file of a run's weights/") from None
    return validate(Located(config, {(): path}), metadata.get("keras_resnet")), read_tensors(path), step


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
    return network_arrays(found), found.step
