"""Reads and writes YAML configurations: plain values without duplicate keys, and the file and line of each key."""

import io
import os
from dataclasses import dataclass, field
from functools import reduce

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode

from keras_resnet.errors import ConfigError
from keras_resnet.files import is_remote, read

MAX_BYTES = 1_000_000  # configurations are far smaller; a larger file is a mistake or an attack
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")}


@dataclass(frozen=True)
class Located:
    """A tree of plain values, and the file and line of each path of keys ("configs/x.yaml:12")."""

    value: dict
    marks: dict[tuple[str, ...], str] = field(default_factory=dict)

    def mark(self, path) -> str:
        """Returns the file and line of `path`, or of the nearest group around it."""
        path = tuple(path)
        while path not in self.marks and path:
            path = path[:-1]
        return self.marks.get(path, "configuration")


def read_yaml(path: str) -> Located:
    """Reads a file and the file that its `extends:` names. The keys of the first override those of the second.

    Raises:
        ConfigError: as for `read_layers`.
    """
    return reduce(merge, read_layers(path))


def read_layers(path: str, _seen: tuple[str, ...] = ()) -> list[Located]:
    """Reads a file and, recursively, the file that its `extends:` names, relative to it. The base file is the first.

    Raises:
        ConfigError: a file cannot be read, is not plain YAML, or extends itself.
    """
    real = os.path.realpath(path)
    if real in _seen:
        raise ConfigError(f"{path}: extends itself, by way of {' -> '.join(map(os.path.relpath, _seen))}")
    located = _parse(_read_text(path), path)
    base = located.value.pop("extends", None)
    if base is None:
        return [located]
    if not isinstance(base, str):
        raise ConfigError(f"{located.mark(['extends'])}: extends: expected the name of a file, got {base!r}")
    base_path = os.path.join(os.path.dirname(path), base)
    if not os.path.isfile(base_path):
        raise ConfigError(f"{located.mark(['extends'])}: extends: no file {base_path}")
    return [*read_layers(base_path, (*_seen, real)), located]


def read_yaml_value(text: str, where: str):
    """Reads one value as in a YAML file: `1e-3` is a number, `[1, 2]` a list, an empty text null.

    Raises:
        ConfigError: the text is not plain YAML.
    """
    value = _parse(f"value: {text}", where, lines=False).value
    if set(value) != {"value"}:
        raise ConfigError(f"{where}: expected one value on one line")
    return value["value"]


def merge(base: Located, changes: Located) -> Located:
    """Returns the tree of `base` with `changes` applied: groups are merged, other values are replaced."""

    def merged(below, above):
        if not (isinstance(below, dict) and isinstance(above, dict)):
            return above
        return below | {key: merged(below.get(key), value) for key, value in above.items()}

    return Located(merged(base.value, changes.value), base.marks | changes.marks)


def dump_yaml(value: dict) -> str:
    """Returns plain values as YAML text, in the order of their keys."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False  # type: ignore[assignment]
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _read_text(path):
    try:
        if is_remote(path):
            text = read(path).decode()
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes, which no configuration is")
    return text


def _parse(text, source, lines=True):
    def at(node):
        return f"{source}:{node.start_mark.line + 1}" if lines else source

    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(io.StringIO(text))
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if lines and error.problem_mark else ""
        raise ConfigError(f"{source}{line}: not YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not YAML: {str(error).splitlines()[0]}") from None

    if root is None:
        return Located({}, {(): source})
    if not isinstance(root, MappingNode):
        raise ConfigError(f"{at(root)}: expected a group of keys, got {_short(root)}")

    def scalar(node):
        try:
            return yaml.constructor.construct_object(node)
        except Exception:
            raise ConfigError(f"{at(node)}: {_short(node)} is not a value of its tag {node.tag}") from None

    marks: dict[tuple[str, ...], str] = {(): source}
    seen: set[int] = set()

    def value_of(node, path):
        if id(node) in seen or node.anchor:
            raise ConfigError(f"{at(node)}: {'.'.join(path)}: anchors and aliases are not allowed; write the value out")
        seen.add(id(node))
        if node.tag not in _PLAIN_TAGS:
            raise ConfigError(f'{at(node)}: {".".join(path)}: tag "{node.tag}" is not allowed; use plain values')
        if isinstance(node, ScalarNode):
            return scalar(node)
        if not isinstance(node, MappingNode):
            return [value_of(item, path) for item in node.value]
        group = {}
        for key_node, item in node.value:
            key = str(scalar(key_node)) if isinstance(key_node, ScalarNode) else _short(key_node)
            where = (*path, key)
            if key in group:
                raise ConfigError(f"{at(key_node)}: {'.'.join(where)}: is given twice, first in {marks[where]}")
            marks[where] = at(key_node)
            group[key] = value_of(item, where)
        return group

    return Located(value_of(root, ()), marks)


def _short(node):
    return {"sequence": "a list", "mapping": "a group"}.get(node.id, f'"{node.value}"')
