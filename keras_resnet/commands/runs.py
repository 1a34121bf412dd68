"""Loads the network of a run, or of weights without a run, for evaluation and export."""

import json
import pkgutil
import sys
from dataclasses import dataclass, replace

from keras_resnet.commands.weights_flags import refuse
from keras_resnet.config import Config, changed, validate_saved
from keras_resnet.description import Description
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.files import is_file
from keras_resnet.model import ResNetModel
from keras_resnet.runs.checkpoints import committed, network_arrays, newest_checkpoint, read_checkpoint
from keras_resnet.runs.folder import RunFolder, check_checkpoint_name
from keras_resnet.task import Task, load_task
from keras_resnet.tasks import DEFAULT_TASK, TASKS
from keras_resnet.weights.conversion import Pretrained, image_channels
from keras_resnet.weights.loading import load_pretrained, set_pretrained
from keras_resnet.weights.native import assign_tensors, named_variables
from keras_resnet.weights.reading import is_safetensors
from keras_resnet.weights.tensors import read_metadata, read_tensors


@dataclass(frozen=True)
class Run:
    """A trained network. Loading it does not need its data set.

    Attributes:
        path: the path or name that the user gave.
        model: float32, with weights; its description contains everything that predictions depend on.
        config: the run's configuration; for weights without a run, the configuration of their evaluation.
        step: of the weights; None for weights without a run.
        finished: whether training is finished.
    """

    path: str
    model: ResNetModel
    config: Config
    step: int | None = None
    finished: bool = True

    @property
    def description(self) -> Description:
        """Returns the model description."""
        return self.model.description


def load_run(path: str, checkpoint: str = "best", **preprocessing) -> Run:
    """Rebuilds a run's network in float32 from its description and sets its weights.

    Args:
        path: the run's folder, or a file in its weights/.
        checkpoint: for a run's folder: "best", "last" or a step.
        **preprocessing: fields of `Preprocessing` that replace the run's.

    Raises:
        ConfigError: the run or checkpoint does not exist, or its weights are damaged.
    """
    try:
        if is_file(path):
            stored, finished = _weights_file(path), True
        else:
            check_checkpoint_name(checkpoint)
            folder = RunFolder(path)
            stored, finished = _weights(folder, checkpoint), folder.read_results() is not None
        description = _complete(stored, preprocessing)
        model = pkgutil.resolve_name(TASKS[stored.config.task].build)(description)
        assign_tensors(named_variables(model), stored.arrays, path)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return Run(path, model, stored.config, stored.step, finished)


def load_for_evaluation(
    path: str, checkpoint: str, assignments: list[str], preprocessing: dict | None = None
) -> tuple[Run, Task]:
    """Loads a run or weights of any source, and the task with the images to evaluate them on.

    Args:
        path: a run's folder, a file in its weights/, or weights of any source.
        checkpoint: for a run's folder.
        assignments: "data.key=value" or "eval.key=value" on top of the run's configuration; weights without a run need
            at least "data.name=...".
        preprocessing: values that replace those of the weights; see `load_pretrained`.

    Raises:
        ConfigError: the weights do not exist, or an assignment is of another group.
        DataError: the data set and the network have different classes.
    """
    for assignment in assignments:
        if not assignment.startswith(("data.", "eval.")):
            raise ConfigError(
                f"--set={assignment}: expected a key of the group data or eval; the rest comes with the weights"
            )
    given = preprocessing or {}
    assignments = [*assignments, *(f"{_KEYS[name]}={_as_yaml(given[name])}" for name in _KEYS if name in given)]
    if not RunFolder(path).is_run() and not is_of_a_run(path):
        return _weights_alone(path, assignments, given)
    refuse({name: value for name, value in given.items() if name not in _KEYS}, "a run has its own")
    config = _config_of(path)
    changes = changed(config, assignments)
    run = load_run(path, checkpoint, **_changed_preprocessing(assignments, changes))
    return run, load_task(changes, run.description)


def _as_yaml(value):
    return list(value) if isinstance(value, tuple) else value


# argument of `load_pretrained` -> key of the configuration
_KEYS = {
    "image_size": "data.image_size",
    "crop_pct": "eval.crop_pct",
    "interpolation": "eval.interpolation",
    "exif_orientation": "data.exif_orientation",
}


def _changed_preprocessing(assignments, config):
    """Returns the fields of the preprocessing that the user changes for this evaluation."""
    keys = {assignment.partition("=")[0] for assignment in assignments}
    values = {field: getattr(getattr(config, key.split(".")[0]), field) for field, key in _KEYS.items() if key in keys}
    return {field: value for field, value in values.items() if value is not None}


def is_of_a_run(path: str) -> bool:
    """Returns whether a run wrote this weights file, which then contains its configuration."""
    try:
        return is_file(path) and is_safetensors(path) and "config" in read_metadata(path)
    except ValueError:  # not a valid weights file of any kind
        return False


def _weights_alone(path, assignments, given):
    """Loads weights that no run wrote; the preprocessing is that of their source."""
    try:
        pretrained = load_pretrained(path, **given, detectors=True)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    for line in pretrained.assumed:
        print(f"{path}: assumed: {line}", file=sys.stderr)
    if not any(assignment.startswith("data.name=") for assignment in assignments):
        raise ConfigError(f"{path}: weights need a data set; add --set=data.name=folder:PATH, or another")
    about = pretrained.description
    name = "detection" if about.detector else "multilabel" if about.thresholds else DEFAULT_TASK
    classes = len(about.labels) if about.detector else pretrained.classes
    if not classes:
        raise ConfigError(f"{path}: has no classifier, so it names no classes")
    settings = pkgutil.resolve_name(TASKS[name].config)
    config = changed(settings.model_validate({"train": {"steps": 1}}), assignments)
    preprocessing = replace(about.preprocessing, **_changed_preprocessing(assignments, config))
    size = preprocessing.image_size or about.spec.image_size
    preprocessing = replace(preprocessing, image_size=size, channels=pretrained.channels)
    description = replace(about, preprocessing=preprocessing)
    if about.detector:
        model = built_detector(replace(pretrained, description=description))
        return Run(path, model, config), load_task(config, model.description)
    task = load_task(config, description)
    if classes != len(task.labels):
        raise DataError(
            f"{path}: is for {classes} classes, {config.data.name} has {len(task.labels)} "
            f"({', '.join(task.labels[:5])})"
        )
    model = task.build_model()
    set_pretrained(model, pretrained)
    return Run(path, model, config), task


def built_detector(pretrained: Pretrained):
    """Builds the detector of pretrained weights and sets all of them."""
    model = pkgutil.resolve_name(TASKS["detection"].build)(pretrained.description)
    assign_tensors(named_variables(model), pretrained.arrays, pretrained.path)
    return model


@dataclass(frozen=True)
class _Stored:
    """Contents of a weights file or checkpoint of a run; checkpoints of version 0.1 have no description."""

    arrays: dict
    step: int
    config: Config
    description: Description | None


def _complete(stored, preprocessing):
    """Returns the description with the values that files of version 0.1 lack and with the user's changes."""
    description = stored.description or load_task(stored.config).description
    if description.preprocessing.channels is None:
        preprocessing = {"channels": image_channels(stored.arrays)} | preprocessing
    return replace(description, preprocessing=replace(description.preprocessing, **preprocessing))


def _config_of(path):
    return _weights_file(path).config if is_file(path) else RunFolder(path).read_config()


def _weights_file(path):
    """Reads a weights file that a run wrote."""
    metadata = read_metadata(path)
    try:
        values, step = json.loads(metadata["config"]), int(metadata["step"])
    except (KeyError, ValueError):
        raise ConfigError(f"{path}: has no metadata of a run; expected a file of a run's weights/") from None
    config = validate_saved(values, path, metadata.get("keras_resnet"))
    return _Stored(read_tensors(path), step, config, Description.from_metadata(metadata))


def _weights(folder, checkpoint):
    """Reads the weights of a run's checkpoint."""
    path = {"best": folder.best_weights, "last": folder.last_weights}.get(checkpoint)
    if path and is_file(path):
        return _weights_file(path)
    there = {str(step): path for step, path in committed(folder.checkpoints)}
    found = None
    if checkpoint == "last":  # in an unfinished run, the newest checkpoint is the last
        found = newest_checkpoint(folder.checkpoints, lambda text: print(f"WARNING: {text}", file=sys.stderr))
    elif checkpoint in there:
        found = read_checkpoint(there[checkpoint])
    if found is None:
        steps = ", ".join(there) or "none"
        raise ConfigError(f"--checkpoint={checkpoint}: {folder.path} has no such weights; available steps: {steps}")
    description = Description.from_json(found.description) if found.description else folder.read_description()
    return _Stored(network_arrays(found), found.step, folder.read_config(), description)
