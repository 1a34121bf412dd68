"""Writes a model's artifacts to a temporary folder, verifies them, and publishes them as one version."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_resnet import __version__
from keras_resnet.config import Export
from keras_resnet.description import Description
from keras_resnet.errors import CheckError, ConfigError, DiskError
from keras_resnet.export.formats import Plan
from keras_resnet.export.graph import answers, folded_network, frozen_network, plain_network
from keras_resnet.export.litert import write_batch1, write_litert
from keras_resnet.export.memory import measure_memory
from keras_resnet.export.onnx import write_int8_onnx, write_onnx
from keras_resnet.export.publishing import OTHERS, SAVED_MODEL, check_free, publish, staged
from keras_resnet.export.report import file_sums, holds, outside, tolerances, write_report
from keras_resnet.export.saved_model import labels_text, write_saved_model, write_single, write_warmup
from keras_resnet.export.verify import EXAMPLES, verify_in_child
from keras_resnet.processor import emulates_bfloat16

REPORT = "export_report.json"
NOISE = 4  # images of random pixels, in addition to the real ones
CALIBRATION = 200  # images
_EXAMPLE_BYTES, _EXAMPLES = 64_000_000, 1000  # at most
_FEWEST = 100  # images to judge int8 by: two images may agree where 3.5 % of a thousand do not


class Exportable(Protocol):
    """What `export_model` needs of a trained model.

    Attributes:
        description: model description, with architecture, preprocessing and class names.
        settings: the `export` group of a configuration.
    """

    description: Description
    settings: Export

    def signatures(self, network: Callable, stages: bool) -> dict[str, tuple[Callable, list]]:
        """Returns the signatures of the exported model: {name: (function, input specs)}, the default one first.

        `network` takes prepared images and returns {"logits", "features"}, and {"stage1", ...} with `stages`.
        """

    def example_images(self, count: int) -> Any:
        """Returns at most `count` real images (N, H, W, C) float32 in [0, 255], prepared as in testing, for parity."""

    def calibration_images(self, count: int) -> Any:
        """Returns at most `count` other real images, prepared as in testing, from which int8 chooses its ranges."""


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
            artifacts = _write(what, model, staging, plan, tell)
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


def _write(what, model, staging, plan, tell):
    """Writes all artifacts of the plan; returns {"format", "precision", "path"} for each, the SavedModel first."""
    parts, description = answers(model, plan.stages), what.description
    image_shape = description.preprocessing.image_shape
    path = os.path.join(staging, SAVED_MODEL)
    if plan.saved_model == "bfloat16" and emulates_bfloat16():
        tell("note: this processor emulates bfloat16, where float32 is faster")
    as_it_is = plan.optimize == "none"
    tell(f"writing SavedModel, {plan.saved_model}, {'as it is' if as_it_is else 'folded'}")
    network = plain_network(parts) if as_it_is else folded_network(parts, plan.saved_model)
    write_saved_model(what.signatures(network, plan.stages), path, description)
    write_warmup(path, plan.batch_sizes, image_shape)
    artifacts = [{"format": "saved_model", "precision": plan.saved_model, "path": path}]
    if plan.litert or plan.onnx:
        exact = frozen_network(parts)
        calibration = what.calibration_images(CALIBRATION) if "int8" in (*plan.litert, *plan.onnx) else None
    if plan.litert:
        artifacts += _write_litert(exact, staging, description, plan, calibration, tell)
    if plan.onnx:
        artifacts += _write_onnx(exact, staging, description, plan, calibration, tell)
    return artifacts


def _write_litert(network, staging, description, plan, calibration, tell):
    """Writes a file of free batch size and one of batch 1 for each precision."""
    single = os.path.join(staging, "single")
    write_single(network, description.preprocessing.image_shape, single)
    os.makedirs(os.path.join(staging, "litert"))
    for precision in plan.litert:
        tell(f"writing LiteRT, {precision}")
        free, batch1 = (_path(staging, "litert", precision, batch) for batch in (None, 1))
        write_litert(single, free, description, precision, calibration)
        yield {"format": "litert", "precision": precision, "path": free}
        interface = plan.litert_interface if precision == "int8" else "float32"
        write_batch1(free, batch1, description, labels_text(description.labels), interface)
        kind = {"format": "litert", "precision": precision, "batch": 1, "interface": interface}
        yield kind | {"path": batch1, "made_from": free}


def _write_onnx(network, staging, description, plan, calibration, tell):
    os.makedirs(os.path.join(staging, "onnx"))
    path = _path(staging, "onnx", "float32")
    tell("writing ONNX, float32")
    write_onnx(network, path, description)
    if "int8" in plan.onnx:
        tell("writing ONNX, int8")
        write_int8_onnx(path, _path(staging, "onnx", "int8"), calibration)
    if "float32" not in plan.onnx:
        os.remove(path)
    for precision in plan.onnx:
        yield {"format": "onnx", "precision": precision, "path": _path(staging, "onnx", precision)}


def _path(staging, format_, precision, batch=None):
    """Returns the path of a file next to the SavedModel; the number replaces "version" once it is known."""
    ending = "" if precision == "float32" else f"-{precision}"
    return os.path.join(staging, format_, f"version{ending}{f'-batch{batch}' if batch else ''}{OTHERS[format_]}")


def _real_images(what, plan):
    """Returns the images for the comparison of artifacts.

    Raises:
        ConfigError: they are too few to judge int8.
    """
    size, rounded = 4 * int(np.prod(what.description.preprocessing.image_shape)), "int8" in (*plan.litert, *plan.onnx)
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
