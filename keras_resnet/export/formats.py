"""Plans the artifacts of an export. Imports no TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from keras_resnet.errors import ConfigError, suggest

FORMATS = ("saved_model", "litert", "onnx")
PRECISIONS = {
    "saved_model": ("float32", "bfloat16"),
    "litert": ("float32", "float16", "dynamic", "int8"),
    "onnx": ("float32", "int8"),
}
OPTIMIZATIONS = ("fold", "none")
INTERFACES = ("float32", "uint8", "int8")  # of LiteRT files of batch 1: types of the image and the scores


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The artifacts of one version.

    Attributes:
        saved_model: precision of the SavedModel.
        litert: precisions of the .tflite files.
        litert_interface: type of image and scores in the int8 file of batch 1.
        onnx: precisions of the .onnx files.
        optimize: "fold" folds normalization into the convolutions; "none" keeps layers and variables unchanged.
        stages: whether to add a signature for the outputs of the network's stages.
        version: the requested number; None for the next.
        batch_sizes: batch sizes of the warm-up requests.
    """

    saved_model: str = "float32"
    litert: tuple[str, ...] = ("float32",)
    litert_interface: str = "float32"
    onnx: tuple[str, ...] = ()
    optimize: Literal["fold", "none"] = "fold"
    stages: bool = False
    version: int | None = None
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)


def plan(
    formats: list[str], precisions: list[str], optimize: str = "fold", litert_interface: str = "float32", **others
) -> Plan:
    """Returns the plan of the flags: each format in those precisions that it supports, else in float32.

    Raises:
        ConfigError: a name is unknown, no format supports a precision, the SavedModel has two precisions, or
            `litert_interface` requires an int8 LiteRT file that is not requested.
    """
    if optimize not in OPTIMIZATIONS:
        raise ConfigError(f'--optimize="{optimize}": {suggest(optimize, OPTIMIZATIONS)}')
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f'--formats: unknown format "{name}"; {suggest(name, FORMATS)}')
    if "saved_model" not in formats:
        raise ConfigError("--formats: saved_model is missing; it is what a version is published by")
    known = [name for format_ in FORMATS for name in PRECISIONS[format_]]
    for name in precisions:
        if name not in known:
            raise ConfigError(f'--precision: unknown precision "{name}"; {suggest(name, dict.fromkeys(known))}')
        if not any(name in PRECISIONS[format_] for format_ in formats):
            of = [format_ for format_ in FORMATS if name in PRECISIONS[format_]]
            raise ConfigError(f"--precision={name}: is of {', '.join(of)}, which --formats does not name")
    chosen = {
        format_: tuple(dict.fromkeys(name for name in precisions if name in PRECISIONS[format_])) or ("float32",)
        for format_ in formats
    }
    if len(chosen["saved_model"]) > 1:
        raise ConfigError(f"--precision: a SavedModel has one precision, got {' and '.join(chosen['saved_model'])}")
    if optimize == "none" and chosen["saved_model"] != ("float32",):
        raise ConfigError(f"--optimize=none: leaves the network as it is, got --precision={chosen['saved_model'][0]}")
    if litert_interface not in INTERFACES:
        raise ConfigError(f'--litert_interface="{litert_interface}": {suggest(litert_interface, INTERFACES)}')
    if litert_interface != "float32" and "int8" not in chosen.get("litert", ()):
        raise ConfigError(f"--litert_interface={litert_interface}: is of LiteRT's int8; add --precision=int8")
    return Plan(
        saved_model=chosen["saved_model"][0],
        litert=chosen.get("litert", ()),
        litert_interface=litert_interface,
        onnx=chosen.get("onnx", ()),
        optimize=optimize,  # type: ignore[arg-type]  # checked above
        **others,
    )
