"""The digest of a configuration, which names its default run folder and is stable across versions.

Version 0.1 hashed all of its keys with their values, so these keys are always hashed under their old names. A key that
was added later is hashed only if its value is not the default, so a new key changes no digest of an existing run.
"""

import hashlib
import json
from importlib.resources import files
from typing import Any

from keras_resnet.renamed import CONFIG_KEYS, Renamed


def digest(values: dict, defaults: dict) -> str:
    """Returns eight hexadecimal digits that differ if any value differs.

    Args:
        values: a whole configuration, {group: {key: value}}. A later key that `resolve` fills in must have the value
            that the user set; otherwise every run would differ from the default.
        defaults: the default configuration in the same form.
    """
    now, default = _flat(values), _flat(defaults)
    first = _flat(json.loads(files("keras_resnet.config").joinpath("defaults_0_1.json").read_text()))
    hashed = {}
    for key, value in first.items():
        row = CONFIG_KEYS.get(key, Renamed(key))
        hashed[key] = row.old_value(now.pop(row.new)) if row.new in now else value
    hashed |= {key: value for key, value in now.items() if value != default[key]}
    return hashlib.sha256(json.dumps(_nested(hashed), sort_keys=True).encode()).hexdigest()[:8]


def _flat(groups):
    flat: dict[str, Any] = {}
    for name, value in groups.items():
        flat |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _nested(flat):
    groups: dict[str, Any] = {}
    for name, value in flat.items():
        group, _, key = name.rpartition(".")
        (groups.setdefault(group, {}) if group else groups)[key] = value
    return groups
