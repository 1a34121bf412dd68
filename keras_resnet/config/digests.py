"""The digest of a configuration, which names its default run folder and must outlive this version.

Version 0.1 hashed all of its keys with their values, so its keys are hashed under its names for ever. A key that was
added later counts only where its value is not the default: adding one changes the digest of no existing run.
"""

import hashlib
import json
from importlib.resources import files
from typing import Any

from keras_resnet.renamed import CONFIG_KEYS, Renamed


def digest(values: dict, defaults: dict) -> str:
    """Eight hexadecimal digits that differ when any value does.

    Args:
        values: a whole configuration, {group: {key: value}}. A later key that `resolve` fills in must be passed as the
            user left it; otherwise every run would differ from the default.
        defaults: the same of a configuration in which everything is the default.
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
