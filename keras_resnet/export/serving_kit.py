"""Writes the files to serve an export with TF Serving: configuration, clients, and a smoke test."""

import json
import os
import pathlib
import re

from keras_resnet.errors import ConfigError, DiskError

TEMPLATES = pathlib.Path(__file__).with_name("kit")
BATCH_SIZES = (1, 2, 4, 8)  # if no report gives the sizes of the warm-up requests
_MIB = 1 << 20
_MEMORY_STEP = 256 * _MIB
_MEMORY_FACTOR = 1.5  # for concurrent requests and the server itself


def write_serving_kit(export_dir: str, directory: str, model_name: str) -> list[str]:
    """Writes configuration, clients and smoke test for TF Serving.

    The server fills batches up to the sizes for which the newest version is warmed up. Its memory limit is 1.5 times
    the memory that swapping two versions takes, by the version's report.

    Args:
        export_dir: the folder of the versions; mounted by its absolute path.
        directory: the folder of the kit. An existing file that differs is not replaced.
        model_name: the name that clients request.

    Returns:
        The paths of the files.

    Raises:
        ConfigError: the name is invalid in TF Serving's URLs, or a file exists and differs; nothing is written.
        DiskError: the kit cannot be written.
    """
    check_model_name(model_name)
    report = _newest_report(export_dir)
    batch_sizes = _batch_sizes(report)
    memory, reason = _memory_limit(report)
    values = {
        "MODEL_NAME": model_name,
        # A JSON string is a YAML string; Docker Compose reads $ as the start of a variable.
        "EXPORT_DIR": json.dumps(os.path.abspath(export_dir), ensure_ascii=False).replace("$", "$$"),
        "MAX_BATCH_SIZE": str(batch_sizes[-1]),
        "MEMORY": memory,
        "MEMORY_REASON": reason,
        "ALLOWED_BATCH_SIZES": "\n".join(f"allowed_batch_sizes: {size}" for size in batch_sizes),
    }
    contents = {
        path.name: _filled(path.read_text(encoding="utf-8"), values)
        for path in sorted(TEMPLATES.iterdir())
        if path.is_file()
    }
    for name, content in contents.items():
        path = pathlib.Path(directory, name)
        if path.exists() and path.read_bytes() != content.encode():
            raise ConfigError(f"--serving_kit={directory}: {path} already exists and differs; name another folder")
    try:
        os.makedirs(directory, exist_ok=True)
        return [_write(os.path.join(directory, name), content) for name, content in contents.items()]
    except OSError as error:
        raise DiskError(f"--serving_kit={directory}: cannot be written ({error.strerror})") from None


def check_model_name(name: str) -> None:
    """Raises a `ConfigError` if a name is invalid in TF Serving's URLs."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f'--model_name: "{name}": expected letters, digits, ".", "_" and "-" alone')


def _newest_report(export_dir):
    """Returns the report of the newest version, empty if none can be read."""
    reports = pathlib.Path(export_dir).glob("[0-9]*/export_report.json")
    newest = max(reports, key=lambda path: int(path.parent.name), default=None)
    try:
        report = json.loads(newest.read_text()) if newest else {}
        return report if isinstance(report, dict) else {}
    except (OSError, ValueError):
        return {}


def _batch_sizes(report):
    """Returns the batch sizes of the warm-up requests, in ascending order."""
    try:
        return sorted(int(size) for size in report["warmup"]["batch_sizes"]) or BATCH_SIZES
    except (ValueError, KeyError, TypeError):
        return BATCH_SIZES


def _memory_limit(report):
    """Returns (the limit in Docker Compose's format, the reason)."""
    try:
        peak = int(report["memory"]["swapping_peak"])
    except (ValueError, KeyError, TypeError):
        return "4g", "Not derived: no report says how much memory the model takes."
    limit = -int(-_MEMORY_FACTOR * peak // _MEMORY_STEP) * _MEMORY_STEP
    reason = f"{_MEMORY_FACTOR} times the {peak // _MIB:,} MiB that swapping two versions takes (export_report.json)."
    return f"{limit // _MIB}m", reason


def _filled(text, values):
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def _write(path, content):
    staging = f"{path}.tmp-{os.getpid()}"
    with open(staging, "w", encoding="utf-8") as file:
        file.write(content)
    os.chmod(staging, 0o755 if path.endswith(".sh") else 0o644)
    os.replace(staging, path)
    return path
