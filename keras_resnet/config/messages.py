"""Words the mistakes that pydantic finds in a configuration, in one line each."""

import json
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from keras_resnet import __version__
from keras_resnet.config.groups import Config
from keras_resnet.errors import suggest
from keras_resnet.renamed import CONFIG_KEYS, SINCE
from keras_resnet.tasks import TASKS
from keras_resnet.yaml_files import Located

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of numbers"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def one_line(errors: list, located: Located, other_version: str | None, config: type[Config]) -> str:
    """Returns the first of the errors: its place, key, value and what is allowed.

    Args:
        errors: of a `pydantic.ValidationError`.
        located: the configuration, with the place of each key.
        other_version: the version that wrote it, if it is not this one.
        config: the class that the configuration is validated as.
    """
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
