"""Loads recipes, configuration files and assignments as a `Config`, and reports mistakes in one line."""

import pkgutil
from collections.abc import Callable

from pydantic import ValidationError

from keras_resnet import __version__
from keras_resnet.config.groups import Config
from keras_resnet.config.layers import stack
from keras_resnet.config.messages import one_line
from keras_resnet.errors import ConfigError
from keras_resnet.renamed import CONFIG_KEYS, upgrade_config
from keras_resnet.tasks import TASKS
from keras_resnet.yaml_files import Located, read_layers, read_yaml, read_yaml_value


def load_config(
    path: str,
    assignments: tuple[str, ...] | list[str] = (),
    notify: Callable[[str], None] = lambda line: None,
) -> Config:
    """Reads a YAML file, the files that it extends, and "group.key=value" assignments, and validates the result once.

    Args:
        path: the file.
        assignments: each overrides the file and earlier assignments.
        notify: receives a line for each key that another key replaces, such as train.epochs by train.steps.

    Raises:
        ConfigError: the configuration is invalid; one line with file, line, key, value and the allowed values.
    """
    return validate(stack([*read_layers(path), *map(_assigned, assignments)], notify))


def load_saved_config(path: str, writer: str | None = None) -> Config:
    """Reads the saved configuration of a run, also with the names of version 0.1.

    Args:
        path: the file.
        writer: the version of this package that wrote it, if known.

    Raises:
        ConfigError: as `load_config`.
    """
    located = read_yaml(path)
    lines = {_today(key): line for key, line in located.marks.items()}
    return validate(Located(upgrade_config(located.value), lines), writer)


def _today(path):
    """The path of a key of version 0.1, today."""
    row = CONFIG_KEYS.get(".".join(path))
    return tuple(row.new.split(".")) if row else path


def validate_saved(values: dict, source: str, writer: str | None = None) -> Config:
    """Converts the plain values of a saved configuration to a `Config`; `source` is the file for error messages.

    Raises:
        ConfigError: the first problem, in one line.
    """
    return validate(Located(upgrade_config(values), {(): source}), writer)


def changed(config: Config, assignments: tuple[str, ...] | list[str]) -> Config:
    """Returns `config` with "group.key=value" assignments applied.

    Raises:
        ConfigError: as `load_config`.
    """
    layers = [Located(config.model_dump(mode="json")), *map(_assigned, assignments)]
    return validate(stack(layers, notify=lambda line: None))


def _assigned(assignment):
    keys, equals, text = assignment.partition("=")
    if not equals or not all(keys.split(".")):
        raise ConfigError(f'--set={assignment!r}: expected group.key=value, for example "train.seed=1"')
    value = read_yaml_value(text, f"--set={assignment!r}")
    path = tuple(keys.split("."))
    for key in reversed(path):
        value = {key: value}
    return Located(value, {path[:i]: "--set" for i in range(1, len(path) + 1)})


def validate(located: Located, writer: str | None = None) -> Config:
    """Validates merged layers as a `Config`; `writer` is as in `load_saved_config`.

    Raises:
        ConfigError: the first problem, in one line.
    """
    config = _config_class(located.value.get("task"))
    try:
        return config.model_validate(located.value)
    except ValidationError as error:
        other = writer if writer != __version__ else None
        raise ConfigError(one_line(error.errors(), located, other, config)) from None


def _config_class(task) -> type[Config]:
    """Returns the class of the configurations of a task; `Config`, which refuses them, for other names."""
    row = TASKS.get(task) if isinstance(task, str) else None
    return pkgutil.resolve_name(row.config) if row else Config
