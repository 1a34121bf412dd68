"""Loads recipes, configuration files and assignments as a `Config`, and reports mistakes in one line."""

import json
import os
import pkgutil
from collections.abc import Callable, Iterable
from functools import reduce
from importlib.resources import files
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from keras_resnet import __version__
from keras_resnet.config.data import CSV_SET, IMAGE_SETS, LISTED_SETS
from keras_resnet.config.groups import Config
from keras_resnet.errors import ConfigError, suggest
from keras_resnet.files import is_remote
from keras_resnet.losses import LOSSES
from keras_resnet.optimizers import OPTIMIZERS
from keras_resnet.renamed import CONFIG_KEYS, SINCE, upgrade_config
from keras_resnet.specs import SPECS
from keras_resnet.tasks import DEFAULT_TASK, TASKS
from keras_resnet.yaml_files import Located, merge, read_layers, read_yaml, read_yaml_value

# Pairs of keys that exclude each other: if a later layer sets the first, the second of an earlier layer is removed.
_EXCLUSIVE: dict[tuple[str, str], Callable] = {
    ("train.steps", "train.epochs"): lambda steps, epochs: steps is not None and epochs is not None,
    ("train.epochs", "train.steps"): lambda epochs, steps: epochs is not None and steps is not None,
    ("train.warmup_steps", "train.warmup_learning_rate"): lambda steps, rate: steps == 0 and rate is not None,
    ("train.warmup_steps", "train.warmup_start_factor"): lambda steps, factor: steps == 0 and factor is not None,
    ("train.warmup_learning_rate", "train.warmup_start_factor"): lambda rate, factor: None not in (rate, factor),
    ("train.warmup_start_factor", "train.warmup_learning_rate"): lambda factor, rate: None not in (rate, factor),
    ("train.ema_decay", "train.ema_every"): lambda decay, every: decay == 0 and every != 1,
    ("train.optimizer", "train.betas"): lambda name, value: _lacks(OPTIMIZERS, name, "betas", value),
    ("train.optimizer", "train.epsilon"): lambda name, value: _lacks(OPTIMIZERS, name, "epsilon", value),
    ("train.loss", "train.target_threshold"): lambda name, value: _lacks(LOSSES, name, "target_threshold", value),
    ("data.auto_augment", "data.randaugment_num_ops"): lambda policy, num_ops: bool(policy and num_ops),
    ("data.randaugment_num_ops", "data.auto_augment"): lambda num_ops, policy: bool(policy and num_ops),
    ("model.weights", "model.reset_head"): lambda weights, reset_head: weights is None and reset_head is True,
    ("data.name", "data.on_unreadable_image"): lambda name, on_unreadable_image: (
        name == "synthetic" and on_unreadable_image == "skip"
    ),
    ("data.name", "data.split_lists"): lambda name, lists: str(name).partition(":")[0] not in LISTED_SETS,
    ("data.name", "data.csv"): lambda name, columns: str(name).partition(":")[0] != CSV_SET,
}


def _lacks(table, name, option, value):
    """Returns whether an option is set that the selected row of a table lacks."""
    return value is not None and str(name) in table and option not in table[str(name)].options


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of numbers"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def stack(layers: Iterable[Located], notify: Callable[[str], None]) -> Located:
    """Merges layers, the lowest first; `notify` receives a line for each key that another key replaces."""

    def put_on(below, layer):
        for (key, other), excludes in _EXCLUSIVE.items():
            if _has(layer, key) and not _has(layer, other) and _has(below, other):
                value, former = _value(layer, key), _value(below, other)
                if excludes(value, former):
                    notify(f"{other}: {former} of {below.mark(other.split('.'))} is replaced by {_said(layer, key)}")
                    below = _without(below, other)
        return merge(below, layer)

    return reduce(put_on, layers)


def _has(located, key):
    group, name = key.split(".")
    return isinstance(located.value.get(group), dict) and name in located.value[group]


def _value(located, key):
    group, name = key.split(".")
    return located.value[group][name]


def _said(located, key):
    mark, value = located.mark(key.split(".")), _value(located, key)
    value = "null" if value is None else value
    return f"--set {key}={value}" if mark == "--set" else f"{key}: {value} of {mark}"


def _without(located, key):
    group, name = key.split(".")
    left = {each: value for each, value in located.value[group].items() if each != name}
    return Located(located.value | {group: left}, located.marks)


def recipes_folder() -> str:
    """Returns the folder of the recipes: inside the installed package, or the repository's configs/."""
    package = str(files("keras_resnet"))
    installed = os.path.join(package, "configs")
    return installed if os.path.isdir(installed) else os.path.join(os.path.dirname(package), "configs")


def recipe_names() -> list[str]:
    """Returns the names of all recipes, sorted: "cifar10/resnet110"."""
    root = recipes_folder()
    return sorted(
        f"{group}/{os.path.splitext(file)[0]}"
        for group in os.listdir(root)
        if os.path.isdir(os.path.join(root, group))
        for file in os.listdir(os.path.join(root, group))
        if file.endswith(".yaml")
    )


def find_recipe(name: str) -> str:
    """Returns the path of a configuration: a file, or a recipe's name such as "cifar10/resnet110".

    Raises:
        ConfigError: there is neither.
    """
    if os.path.isfile(name) or is_remote(name):
        return os.path.relpath(name) if os.path.isabs(name) and name.startswith(os.getcwd() + os.sep) else name
    recipe = name.removeprefix("configs/").removesuffix(".yaml")
    path = os.path.join(recipes_folder(), f"{recipe}.yaml")
    if recipe in recipe_names():
        return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
    near = suggest(recipe, recipe_names())
    hint = near if near.startswith("did") else "`keras-resnet list --recipes` shows the recipes"
    raise ConfigError(f"--config={name}: no such file or recipe; {hint}")


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
        raise ConfigError(_one_line(error.errors(), located, other, config)) from None


def _config_class(task) -> type[Config]:
    """Returns the class of the configurations of a task; `Config`, which refuses them, for other names."""
    row = TASKS.get(task) if isinstance(task, str) else None
    return pkgutil.resolve_name(row.config) if row else Config


def _one_line(errors, located, other_version, config):
    first = min(errors, key=lambda error: error["type"] == "missing")
    group = [part for part in first["loc"] if isinstance(part, str) and part not in ("float", "int", "str")]
    context = first.get("ctx") or {}
    path = group + context.get("at", [])
    line = f"{located.mark(path)}: {'.'.join(path) or 'file'}: "
    if other_version:  # not a mistake of the user, so there is nothing to suggest
        problem = "unknown key" if first["type"] == "extra_forbidden" else _problem(first, path, config)
        return line + f"{problem}; written by keras_resnet {other_version}; this is {__version__}"
    line += _problem(first, path, config)
    if "beside" in context:
        other = group + context["beside"]
        line += f" ({'.'.join(other)} is in {located.mark(other)})"
    return line + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")


def _problem(error, path, config):
    value = json.dumps(error["input"], default=str)
    value = value if len(value) <= 80 else value[:77] + "..."
    renamed = _renamed(path, error["input"])
    if renamed and error["type"] in ("extra_forbidden", "literal_error"):
        return renamed
    if error["type"] == "extra_forbidden":
        return f"unknown key; {suggest(path[-1], _fields(config, path[:-1]))}"
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "at":
        return error["msg"]
    if error["type"] == "unknown_name":
        return f"unknown name {value}; {error['msg']}"
    if error["type"] == "unknown_choice":
        return f"got {value}; {error['msg']}"
    if error["type"] == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", '"')
        choices = [part.strip('" ') for part in allowed.replace(" or ", ",").split(",")]
        if path == ["task"]:
            choices = [*TASKS]
        return f"got {value}; {suggest(error['input'], choices)}"
    return f"expected {_expected(path, error, config)}, got {value}"


def _renamed(path, value):
    """Returns the replacement of a key or value of version 0.1; "" if it is not one."""
    row = CONFIG_KEYS.get(".".join(path))
    if not row or (row.new == ".".join(path) and row.value(value) == value):
        return ""
    return f"was renamed in version {SINCE}; write {row.new}: {json.dumps(row.value(value), default=str)}"


def _expected(path, error, config):
    """Returns what the field accepts, in words: `a number > 0`."""
    field = _fields(config, path[:-1]).get(path[-1]) if path else None
    if field is None or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
        return "a group of keys"
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):  # "| None"
        annotation = get_args(annotation)[0]
    kind = get_origin(annotation) or annotation
    words = _KINDS.get(kind, error["msg"])
    limits = field.metadata
    if kind is tuple:  # the bounds apply to its items
        item = get_args(get_args(annotation)[0])
        words = "a list of texts" if item[0] is str else words
        limits = getattr(item[1], "metadata", [])
    bounds = [
        f"{sign} {getattr(limit, name)}"
        for limit in limits
        for name, sign in _BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return " ".join([words, " and ".join(bounds)]).strip()


def _fields(group: Any, path):
    for key in path:
        group = group.model_fields[key].annotation
    return group.model_fields


def config_json_schema() -> str:
    """Returns the JSON schema of a configuration file, for editors; `configs/schema.json` is its output."""
    schema = Config.model_json_schema()
    for row in TASKS.values():
        _add_task(schema, pkgutil.resolve_name(row.config).model_json_schema())
    schema["properties"]["extends"] = {"type": "string", "description": "A file that this one changes, relative to it."}
    schema.pop("required", None)  # a file that extends another may omit any key
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["task"] = {"type": "string", "enum": [*TASKS], "default": DEFAULT_TASK}
    schema["$defs"]["Model"]["properties"]["name"]["enum"] = list(SPECS)
    sets = "|".join(name.replace("NAME", ".+").replace("PATH", ".+") for name in IMAGE_SETS)
    schema["$defs"]["Model"]["properties"]["version"]["anyOf"].append({"type": "number", "enum": [1, 1.5, 2]})
    for group in schema["$defs"].values():
        if "on_unreadable_image" in group["properties"]:  # the group `data` of each task
            group["properties"]["name"]["pattern"] = f"^({sets})$"
    return json.dumps(schema, indent=2) + "\n"


def _add_task(schema, other):
    """Adds the groups that only another task's configurations have, and the other forms of common ones."""
    schema["$defs"] |= other["$defs"]
    for name, group in other["properties"].items():
        known = schema["properties"].setdefault(name, group)
        if known != group and "$ref" in group:
            forms = known.get("anyOf", [{"$ref": known.get("$ref")}])
            schema["properties"][name] = {"anyOf": [*forms, {"$ref": group["$ref"]}]}
