"""Writes SavedModel and LiteRT of a model, verifies both, and publishes them as one version."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.errors import ConfigError, DiskError, UserError
from keras_resnet.export.verify import EXAMPLES, LITERT, REPORT, SAVED_MODEL, verify_in_child
from keras_resnet.task import Task

EXAMPLE_COUNT = 8


def export_model(
    task: Task, model: keras.Model, output: str, provenance: dict, tell: Callable[[str], None] = print
) -> dict:
    """Writes `output`/<version>/ (SavedModel, labels, report) and `output`/litert/<version>.tflite.

    Both are written aside, reloaded and compared in a process without this package, and renamed once: a
    server that polls `output` sees a complete version or none. The version is the next free whole number.

    Args:
        task: says what the artifacts answer.
        model: float32, built outside of any strategy.
        output: the folder that TF Serving is pointed at.
        provenance: where the weights are from, for the report.
        tell: called with a line for each part of the work.

    Returns:
        The report, with "version" and "paths".

    Raises:
        UserError: an artifact does not agree with the model; nothing is published then.
        ConfigError, DiskError: the folder cannot be written.
    """
    try:
        os.makedirs(os.path.join(output, "litert"), exist_ok=True)
        aside = tempfile.mkdtemp(prefix=".tmp-", dir=output)
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written ({error.strerror})") from None
    try:
        tell("writing SavedModel")
        write_saved_model(task, model, os.path.join(aside, SAVED_MODEL))
        tell("writing LiteRT")
        write_litert(task, os.path.join(aside, SAVED_MODEL), os.path.join(aside, LITERT))
        images = task.example_images(EXAMPLE_COUNT)
        np.savez(os.path.join(aside, EXAMPLES), images=images, logits=model.predict(images, verbose=0))
        tell("verifying both in a process of their own")
        report = provenance | {"parity": verify_in_child(aside)}
        if not all(check["holds"] for check in report["parity"].values()):
            raise UserError(
                f"{output}: not published, an artifact differs from the model: {json.dumps(report['parity'])}"
            )
        return publish(aside, output, report)
    except OSError as error:
        raise DiskError(f"{output}: cannot be written ({error.strerror}); nothing was published") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_saved_model(task: Task, model: keras.Model, path: str) -> None:
    """Writes the task's signatures as a SavedModel, with the labels beside the graph."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, specs) in task.signatures(model).items():
        archive.add_endpoint(name, function, input_signature=specs)
    archive.write_out(path, verbose=False)
    extra = os.path.join(path, "assets.extra")
    os.makedirs(extra)
    with open(os.path.join(extra, "labels.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(task.labels) + "\n")


def write_litert(task: Task, saved_model: str, path: str) -> None:
    """Converts `predict_images` with builtin operators alone; labels.txt is packed into the file.

    A `.tflite` file may end with a zip archive (the convention of LiteRT's metadata): any zip tool reads
    the labels, and interpreters ignore them.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["predict_images"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    with _quiet_converter():
        content = converter.convert()
    with open(path, "wb") as file:
        file.write(content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join(task.labels) + "\n")


@contextlib.contextmanager
def _quiet_converter():
    """Keeps back what the converter's C++ writes of itself, unless it fails."""
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def publish(aside: str, output: str, report: dict) -> dict:
    """Moves what lies in `aside` to the next free version of `output`; never replaces one."""
    while True:
        version = next_version(output)
        litert = os.path.join(output, "litert", f"{version}.tflite")
        try:
            os.link(os.path.join(aside, LITERT), litert)  # fails where the name is taken: this reserves the version
        except FileExistsError:
            continue
        final = os.path.join(output, str(version))
        report = report | {"version": version, "paths": {"saved_model": final, "litert": litert}}
        try:
            with open(os.path.join(aside, SAVED_MODEL, REPORT), "w", encoding="utf-8") as file:
                json.dump(report, file, indent=1)
            os.rename(os.path.join(aside, SAVED_MODEL), final)
        except OSError:
            os.remove(litert)
            raise
        return report


def next_version(output: str) -> int:
    """The whole number after the highest that the folder holds, as a SavedModel or as LiteRT."""
    names = os.listdir(output) + [os.path.splitext(name)[0] for name in os.listdir(os.path.join(output, "litert"))]
    return 1 + max((int(name) for name in names if name.isdecimal()), default=0)
