"""Defines the table of export formats, a row each, and plans the artifacts of an export. Imports no TensorFlow."""

import importlib.util
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from keras_resnet.errors import ConfigError, needs, suggest

SAVED_MODEL = "saved_model"  # a version is published by it
OPTIMIZATIONS = ("fold", "none")
INTERFACES = ("float32", "uint8", "int8")  # of LiteRT files of batch 1: types of the image and the scores


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format of artifacts. Modules are named by strings and imported when they are used.

    Attributes:
        name: its name in `--formats` and reports, and the folder of its files.
        title: its name in texts.
        precisions: the precisions that it supports.
        suffix: of its files; None for the SavedModel, which is a folder.
        tolerance: largest difference of a float32 artifact from the network's logits, relative to the largest logit.
        writer: "module:function", takes a `Conversion` and yields {"format", "precision", "path"} of each artifact.
        loader: the module that runs an artifact in the verifying process. It imports nothing of this package; its
            functions are described in `keras_resnet.export.verify`.
        predictor: "module:class", a `Predictor` that takes path, source and threads.
        predicts_without_tensorflow: whether the predictor needs no TensorFlow.
        packages: packages that the extra of the format's name installs and the writer needs.
    """

    name: str
    title: str
    precisions: tuple[str, ...]
    suffix: str | None
    tolerance: float
    writer: str
    loader: str
    predictor: str
    predicts_without_tensorflow: bool = False
    packages: tuple[str, ...] = ()

    def check_packages(self) -> None:
        """Raises a `ConfigError` if a package that the writer needs is not installed."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(f"--formats={self.name}: {needs(', '.join(missing), self.name)}")

    def write(self, conversion) -> Iterator[dict]:
        """Writes the artifacts of a `Conversion` and yields a report of each."""
        return pkgutil.resolve_name(self.writer)(conversion)

    def open(self, path: str, source: str, threads: int | None = None):
        """Returns a `Predictor` for an artifact; `source` is the model as the user named it."""
        return pkgutil.resolve_name(self.predictor)(path, source, threads)

    def loader_file(self) -> str:
        """Returns the path of the loader's module, which is not imported."""
        spec = importlib.util.find_spec(self.loader)
        assert spec, f"no module {self.loader}"
        assert spec.origin, f"{self.loader} is no file"
        return spec.origin


EXPORT_FORMATS = {
    row.name: row
    for row in (
        ExportFormat(
            name=SAVED_MODEL,
            title="SavedModel",
            precisions=("float32", "bfloat16"),
            suffix=None,
            tolerance=1e-5,
            writer="keras_resnet.export.saved_model:write_artifacts",
            loader="keras_resnet.export.loaders.saved_model",
            predictor="keras_resnet.inference.saved_model:SavedModelPredictor",
        ),
        ExportFormat(
            name="litert",
            title="LiteRT",
            precisions=("float32", "float16", "dynamic", "int8"),
            suffix=".tflite",
            tolerance=1e-4,
            writer="keras_resnet.export.litert:write_artifacts",
            loader="keras_resnet.export.loaders.litert",
            predictor="keras_resnet.inference.litert:LiteRTPredictor",
            predicts_without_tensorflow=True,
        ),
        ExportFormat(
            name="onnx",
            title="ONNX",
            precisions=("float32", "int8"),
            suffix=".onnx",
            tolerance=1e-4,
            writer="keras_resnet.export.onnx:write_artifacts",
            loader="keras_resnet.export.loaders.onnx",
            predictor="keras_resnet.inference.onnx:OnnxPredictor",
            predicts_without_tensorflow=True,
            packages=("onnx", "onnxruntime", "tf2onnx"),
        ),
    )
}


def suffixes() -> dict[str, str]:
    """Returns {name: suffix} of the formats whose artifacts are files, in folders next to the SavedModels."""
    return {name: row.suffix for name, row in EXPORT_FORMATS.items() if row.suffix}


def precisions() -> dict[str, list[ExportFormat]]:
    """Returns {precision: the formats that support it}."""
    known = dict.fromkeys(name for row in EXPORT_FORMATS.values() for name in row.precisions)
    return {name: [row for row in EXPORT_FORMATS.values() if name in row.precisions] for name in known}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The artifacts of one version.

    Attributes:
        precisions: {format: its precisions}, in the order of the table; the SavedModel has one precision.
        litert_interface: type of image and scores in LiteRT's int8 file of batch 1.
        optimize: "fold" folds normalization into the convolutions; "none" keeps layers and variables unchanged.
        stages: whether to add a signature for the outputs of the network's stages.
        version: the requested number; None for the next.
        batch_sizes: batch sizes of the warm-up requests.
    """

    precisions: dict[str, tuple[str, ...]]
    litert_interface: str = "float32"
    optimize: Literal["fold", "none"] = "fold"
    stages: bool = False
    version: int | None = None
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)

    def uses(self, precision: str) -> bool:
        """Returns whether an artifact has this precision."""
        return any(precision in names for names in self.precisions.values())


def plan(
    formats: list[str], precision: list[str], optimize: str = "fold", litert_interface: str = "float32", **others
) -> Plan:
    """Returns the plan of the flags: each format in those precisions that it supports, else in float32.

    Raises:
        ConfigError: a name is unknown, no format supports a precision, the SavedModel has two precisions, or
            `litert_interface` requires an int8 LiteRT file that is not requested.
    """
    if optimize not in OPTIMIZATIONS:
        raise ConfigError(f'--optimize="{optimize}": {suggest(optimize, OPTIMIZATIONS)}')
    for name in formats:
        if name not in EXPORT_FORMATS:
            raise ConfigError(f'--formats: unknown format "{name}"; {suggest(name, EXPORT_FORMATS)}')
    if SAVED_MODEL not in formats:
        raise ConfigError(f"--formats: {SAVED_MODEL} is missing; it is what a version is published by")
    known = precisions()
    for name in precision:
        if name not in known:
            raise ConfigError(f'--precision: unknown precision "{name}"; {suggest(name, known)}')
        of = [row.name for row in known[name]]
        if not set(of) & set(formats):
            raise ConfigError(f"--precision={name}: is of {', '.join(of)}, which --formats does not name")
    chosen = {
        row.name: tuple(dict.fromkeys(name for name in precision if name in row.precisions)) or ("float32",)
        for row in EXPORT_FORMATS.values()
        if row.name in formats
    }
    if len(chosen[SAVED_MODEL]) > 1:
        raise ConfigError(f"--precision: a SavedModel has one precision, got {' and '.join(chosen[SAVED_MODEL])}")
    if optimize == "none" and chosen[SAVED_MODEL] != ("float32",):
        raise ConfigError(f"--optimize=none: leaves the network as it is, got --precision={chosen[SAVED_MODEL][0]}")
    if litert_interface not in INTERFACES:
        raise ConfigError(f'--litert_interface="{litert_interface}": {suggest(litert_interface, INTERFACES)}')
    if litert_interface != "float32" and "int8" not in chosen.get("litert", ()):
        raise ConfigError(f"--litert_interface={litert_interface}: is of LiteRT's int8; add --precision=int8")
    return Plan(
        precisions=chosen,
        litert_interface=litert_interface,
        optimize=optimize,  # type: ignore[arg-type]  # checked above
        **others,
    )
