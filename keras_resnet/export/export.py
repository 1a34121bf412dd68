"""Writes a model's artifacts to a temporary folder, verifies them, and publishes them as one version."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import __version__
from keras_resnet.errors import CheckError, ConfigError, DiskError
from keras_resnet.export.conversion import Conversion, Exportable
from keras_resnet.export.formats import EXPORT_FORMATS, SAVED_MODEL, Plan
from keras_resnet.export.memory import measure_memory
from keras_resnet.export.publishing import check_free, publish, staged
from keras_resnet.export.report import compare_module, file_sums, judge, write_report
from keras_resnet.export.verify import CHUNK, EXAMPLES, OUTPUT, verify_in_child

REPORT = "export_report.json"
_EXAMPLE_BYTES = 64_000_000  # at most
_FEWEST = 100  # images to judge int8 by: two images may agree where 3.5 % of a thousand do not


def export_model(
    what: Exportable,
    model: keras.Model,
    output: str,
    plan: Plan,
    provenance: dict,
    tell: Callable[[str], None] = print,
) -> dict:
    """Writes `output`/<version>/ (SavedModel, labels, warm-up, report) and the plan's other artifacts next to it.

    All artifacts are written to a temporary folder, reloaded and compared in a process without this package, and then
    renamed: a server that polls `output` sees a complete version or none.

    Args:
        what: gives the description, the settings, the signatures and the images.
        model: the trained model, float32, built outside any strategy.
        output: the folder that TF Serving reads.
        plan: formats and precisions.
        provenance: the origin of the weights, for the report.
        tell: called with a line for each part of the work.

    Returns:
        The report, with "version" and the path of every artifact.

    Raises:
        CheckError: an artifact does not load or does not agree with the model; nothing is published.
        ConfigError: the plan has what the task has not, or the folder cannot be used.
        DiskError: the folder cannot be written.
    """
    _check_plan(what, plan)
    check_free(output, plan.version)
    real = _real_images(what, plan)
    plan = replace(plan, batch_sizes=tuple(size for size in plan.batch_sizes if size == 1 or size <= _chunk(what)))
    with staged(output) as staging:
        try:
            artifacts = _write(Conversion(what=what, model=model, plan=plan, staging=staging, tell=tell))
        except tf.errors.OpError as error:
            raise DiskError(f"{output}: cannot be written ({_first_line(error)}); nothing was published") from None
        tell("verifying in a process without this package")
        _write_examples(what, model, real, staging)
        batches = 1, plan.batch_sizes[-1]
        found = verify_in_child(staging, artifacts, what.comparison, _chunk(what), tuple(dict.fromkeys(batches)))
        wrong: list[str] = []
        for artifact, measured in zip(artifacts, found["artifacts"], strict=True):
            artifact |= measured
            wrong += judge(artifact, what.comparison, what.settings.min_top1_agreement)
            artifact.pop("made_from", None)  # a temporary path
        if wrong:
            raise CheckError(f"{output}: not published, an artifact differs from the network: {'; '.join(wrong)}")
        tell("measuring the memory that a server takes, with one version and with two")
        image_shape = what.description.preprocessing.image_shape
        memory = measure_memory(artifacts[0]["path"], image_shape, plan.batch_sizes)
        return _publish(what, staging, output, plan, provenance, artifacts, found["warmup_requests"], memory)


def _check_plan(what, plan):
    """Raises a `ConfigError` if the task's models cannot be exported so."""
    for name in dict.fromkeys(name for names in plan.precisions.values() for name in names):
        if name not in what.precisions:
            raise ConfigError(f"--precision={name}: {what.kind} are exported in {', '.join(what.precisions)}")
    if plan.stages and not what.has_stages:
        raise ConfigError(f"--stages: {what.kind} have no signature for the stages' outputs")


def _write(conversion):
    """Writes all artifacts of the plan; returns {"format", "precision", "path"} for each, the SavedModel first."""
    artifacts: list[dict] = []
    for name in conversion.plan.precisions:
        os.makedirs(os.path.join(conversion.staging, name))
        artifacts += EXPORT_FORMATS[name].write(conversion)
    return artifacts


def _real_images(what, plan):
    """Returns the images for the comparison of artifacts.

    Raises:
        ConfigError: they are too few to judge int8.
    """
    size, rounded = 4 * int(np.prod(what.description.preprocessing.image_shape)), plan.uses("int8")
    fewest = _FEWEST if rounded else 8  # large images take much memory
    most = min(compare_module(what.comparison).IMAGES, (what.call_bytes or _EXAMPLE_BYTES) // size)
    real = np.asarray(what.example_images(max(fewest, most)), np.float32)
    if rounded and len(real) < _FEWEST:
        raise ConfigError(
            f"--precision=int8: needs {_FEWEST} images or more to be compared on, there are {len(real)}: "
            f"--images=FOLDER names {2 * _FEWEST} or more, one half for comparing and the other for choosing ranges"
        )
    return real


def _chunk(what):
    """Returns the number of images in a call, at most."""
    size = 4 * int(np.prod(what.description.preprocessing.image_shape))
    return max(1, min(CHUNK, what.call_bytes // size)) if what.call_bytes else CHUNK


def _write_examples(what, model, real, staging):
    """Writes real images and noise with the network's outputs."""
    count = compare_module(what.comparison).NOISE
    noise = np.random.RandomState(0).randint(0, 256, (count, *real.shape[1:])).astype(np.float32)
    images = np.concatenate([real, noise])
    function, specs = what.signatures(what.network(model, lambda part: part), False)["network"]
    graph = tf.function(function, input_signature=specs, autograph=False)
    chunk = _chunk(what)
    parts = [graph(tf.constant(images[i : i + chunk])) for i in range(0, len(images), chunk)]
    arrays: dict[str, Any] = {f"{OUTPUT}{name}": np.concatenate([part[name] for part in parts]) for name in parts[0]}
    np.savez(os.path.join(staging, EXAMPLES), images=images, real=len(real), **arrays)


def _publish(what, staging, output, plan, provenance, artifacts, requests, memory):
    for artifact in artifacts:
        artifact |= file_sums(artifact["path"])
    report = provenance | {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "classes": len(what.description.labels),
        "image_shape": list(what.description.preprocessing.image_shape),
        "preprocessing": asdict(what.description.preprocessing),
        "optimize": plan.optimize,
        "settings": what.settings.model_dump(mode="json"),
        "comparison": what.comparison,
        "warmup": {"requests": requests, "batch_sizes": list(plan.batch_sizes)},
        "memory": memory,
        "versions": {
            "keras_resnet": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
        },
        "artifacts": artifacts,
    }

    def named(version):
        """Writes the report with the paths of the version's artifacts."""
        for artifact in artifacts:
            name = os.path.relpath(artifact["path"], staging)
            name = str(version) if name == SAVED_MODEL else name.replace("version", str(version), 1)
            artifact["path"] = os.path.join(output, name)
        write_report({"version": version} | report, os.path.join(staging, SAVED_MODEL, REPORT))

    version, _ = publish(staging, output, plan.version, named)
    return {"version": version} | report


def _first_line(error):
    return str(error.message or error).splitlines()[0]
