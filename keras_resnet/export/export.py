"""Writes a model's artifacts to a temporary folder, verifies them, and publishes them as one version."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import __version__
from keras_resnet.errors import CheckError, ConfigError, DiskError
from keras_resnet.export.conversion import Conversion, Exportable
from keras_resnet.export.formats import EXPORT_FORMATS, SAVED_MODEL, Plan
from keras_resnet.export.graph import answers
from keras_resnet.export.memory import measure_memory
from keras_resnet.export.publishing import check_free, publish, staged
from keras_resnet.export.report import file_sums, holds, outside, tolerances, write_report
from keras_resnet.export.verify import EXAMPLES, verify_in_child

REPORT = "export_report.json"
NOISE = 4  # images of random pixels, in addition to the real ones
_EXAMPLE_BYTES, _EXAMPLES = 64_000_000, 1000  # at most
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
        model: images -> logits, float32, built outside any strategy.
        output: the folder that TF Serving reads.
        plan: formats and precisions.
        provenance: the origin of the weights, for the report.
        tell: called with a line for each part of the work.

    Returns:
        The report, with "version" and the path of every artifact.

    Raises:
        CheckError: an artifact does not load or does not agree with the model; nothing is published.
        ConfigError, DiskError: the folder cannot be written.
    """
    check_free(output, plan.version)
    real = _real_images(what, plan)
    with staged(output) as staging:
        try:
            parts = answers(model, plan.stages)
            artifacts = _write(Conversion(what=what, model=parts, plan=plan, staging=staging, tell=tell))
        except tf.errors.OpError as error:
            raise DiskError(f"{output}: cannot be written ({_first_line(error)}); nothing was published") from None
        tell("verifying in a process without this package")
        _write_examples(real, model, staging)
        found = verify_in_child(staging, artifacts)
        for artifact, measured in zip(artifacts, found["artifacts"], strict=True):
            tolerance = tolerances(artifact, what.settings.min_top1_agreement)
            artifact |= measured | {"tolerance": tolerance, "holds": holds(measured["parity"], tolerance)}
            artifact.pop("made_from", None)  # a temporary path
        wrong = [outside(artifact) for artifact in artifacts if not artifact["holds"]]
        if wrong:
            raise CheckError(f"{output}: not published, an artifact differs from the network: {'; '.join(wrong)}")
        tell("measuring the memory that a server takes, with one version and with two")
        image_shape = what.description.preprocessing.image_shape
        memory = measure_memory(artifacts[0]["path"], image_shape, plan.batch_sizes)
        return _publish(what, staging, output, plan, provenance, artifacts, found["warmup_requests"], memory)


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
    real = np.asarray(what.example_images(max(fewest, min(_EXAMPLES, _EXAMPLE_BYTES // size))), np.float32)
    if rounded and len(real) < _FEWEST:
        raise ConfigError(
            f"--precision=int8: needs {_FEWEST} images or more to be compared on, there are {len(real)}: "
            f"--images=FOLDER names {2 * _FEWEST} or more, one half for comparing and the other for choosing ranges"
        )
    return real


def _write_examples(real, model, staging):
    """Writes real images and noise with the network's logits."""
    noise = np.random.RandomState(0).randint(0, 256, (NOISE, *real.shape[1:])).astype(np.float32)
    images = np.concatenate([real, noise])
    logits = model.predict(images, batch_size=16, verbose=0)
    np.savez(os.path.join(staging, EXAMPLES), images=images, logits=logits, real=len(real))


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
