"""Writes the JSON schema of configuration files."""

import json
import pkgutil

from keras_resnet.config.data import IMAGE_SETS
from keras_resnet.config.groups import Config
from keras_resnet.specs import SPECS
from keras_resnet.tasks import DEFAULT_TASK, TASKS


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
