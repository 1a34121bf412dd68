"""Reads preprocessing and classes from the JSON files of timm, transformers and this package next to the weights.

| file | written by | values read |
|---|---|---|
| config.json | timm, this package | mean, std, input size, crop, interpolation, class names |
| config.json | transformers' ResNetForImageClassification | class names, the strided layer of blocks |
| preprocessor_config.json | transformers' image processors | mean, std, size, crop, interpolation |
"""

import json
import os
from dataclasses import dataclass, field
from typing import Any

CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"
_LARGEST = 16 * 2**20  # bytes
_RESAMPLE = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_WARPED_FROM = 384  # pixels; from this size on, ConvNextImageProcessor resizes to a square without a crop


@dataclass(frozen=True)
class ModelConfig:
    """Content of the configuration files next to weights.

    Attributes:
        path: path of the file, for error messages.
        preprocessing: fields of `Preprocessing`.
        labels: a name for each class; empty if unknown.
        unseen: fields of `Spec` that tensors do not show.
    """

    path: str
    preprocessing: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    unseen: dict[str, Any] = field(default_factory=dict)


def read_model_config(folder: str) -> ModelConfig | None:
    """Reads the configuration files next to the weights in a folder; returns None if there are none.

    Raises:
        ValueError: a file cannot be read, or requires unsupported processing; the message names file and field.
    """
    path, processor_path = (os.path.join(folder, name) for name in (CONFIG, PROCESSOR))
    config, processor = _read(path), _read(processor_path)
    if config is not None and "pretrained_cfg" not in config and "model_type" in config:
        return _of_transformers(path, config, processor_path, processor)
    if config is None:
        return ModelConfig(processor_path, _processor(processor_path, processor)) if processor else None
    return _of_timm(path, config)


def _read(path):
    """Returns the object in a JSON file, or None if the file does not exist."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        value = json.loads(content) if len(content) <= _LARGEST else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected one JSON object of at most {_LARGEST:,} bytes")
    return value


def _of_timm(path, config):
    """Reads timm's format, which this package also writes. Older files have pretrained_cfg's fields at the top."""
    about = config.get("pretrained_cfg", config)
    if not isinstance(about, dict) or not {"mean", "std", "input_size"} & set(about):
        return None  # a file of another program
    # Of two sizes, timm reports accuracies for the larger one, as in the table of published weights.
    size = about.get("test_input_size") or about.get("input_size")
    said: dict[str, Any] = {}
    if size is not None:
        if not _numbers(size, 3):
            raise ValueError(f"{path}: input_size {size!r}: expected [channels, height, width]")
        height, width = (_size(path, "input_size", side) for side in size[1:])
        said["image_size"] = height if height == width else (height, width)
    crop = about.get("test_crop_pct") or about.get("crop_pct")
    if crop is not None:
        said["crop_pct"] = _crop(path, "crop_pct", crop)
    if about.get("crop_mode", "center") != "center":
        raise ValueError(f'{path}: crop_mode "{about["crop_mode"]}" is not done here, only "center"')
    if "interpolation" in about:
        said["interpolation"] = _interpolation(path, "interpolation", about["interpolation"])
    said |= _statistics(path, about, ("mean", "std"), 255.0)
    labels = config.get("label_names") or about.get("label_names") or about.get("labels")
    return ModelConfig(path, said, _labels(path, "label_names", labels))


def _of_transformers(path, config, processor_path, processor):
    if config["model_type"] != "resnet":
        raise ValueError(f'{path}: model_type "{config["model_type"]}" is no network of this family; expected "resnet"')
    if config.get("downsample_in_first_stage"):
        raise ValueError(f"{path}: downsample_in_first_stage is true; no network of this family has that")
    if config.get("hidden_act", "relu") != "relu":
        raise ValueError(f'{path}: hidden_act "{config["hidden_act"]}": expected "relu"')
    unseen = {"stride_in": "1x1" if config.get("downsample_in_bottleneck") else "3x3"}
    said = _processor(processor_path, processor) if processor else {}
    return ModelConfig(
        processor_path if processor else path, said, _labels(path, "id2label", config.get("id2label")), unseen
    )


def _processor(path, processor):
    """Reads the settings of transformers' image processors, whose class determines resizing and cropping."""
    kind = str(processor.get("image_processor_type") or processor.get("feature_extractor_type") or "")
    factor = processor.get("rescale_factor", 1 / 255)
    if not _numbers([factor], 1) or factor <= 0:
        raise ValueError(f"{path}: rescale_factor {factor!r}: expected a number above 0")
    said = _statistics(path, processor, ("image_mean", "image_std"), 1 / factor)
    if "resample" in processor:
        number = processor["resample"]
        if number not in _RESAMPLE:
            raise ValueError(f"{path}: resample {number!r}: expected 2 (bilinear) or 3 (bicubic)")
        said["interpolation"] = _RESAMPLE[number]
    size = processor.get("size")
    if size is None or not processor.get("do_resize", True):
        return said
    shortest = size.get("shortest_edge") if isinstance(size, dict) else size
    if kind.startswith("ConvNext"):
        side = _size(path, "size", shortest)
        if side >= _WARPED_FROM:
            raise ValueError(
                f"{path}: size {side}: images are squeezed into a square from {_WARPED_FROM} on, which is not done here"
            )
        return said | {"image_size": side, "crop_pct": _crop(path, "crop_pct", processor.get("crop_pct") or 0.875)}
    if shortest is None or not processor.get("do_center_crop"):
        raise ValueError(
            f"{path}: {kind or 'it'} squeezes images into a square ({size}), which is not done here: expected a "
            "shortest_edge and do_center_crop"
        )
    crop = processor.get("crop_size", shortest)
    side = _size(path, "crop_size", crop.get("height") if isinstance(crop, dict) else crop)
    return said | {"image_size": side, "crop_pct": _crop(path, "crop_size", side / _size(path, "size", shortest))}


def _statistics(path, values, names, factor):
    """Returns {"mean": ..., "std": ...} for images in [0, 255]."""
    said = {}
    for ours, name in zip(("mean", "std"), names, strict=True):
        if values.get(name) is None:
            continue
        given = values[name] if isinstance(values[name], list) else [values[name]]
        if not _numbers(given, len(given)) or not given or (ours == "std" and min(given) <= 0):
            raise ValueError(f"{path}: {name} {values[name]!r}: expected a number for each channel")
        said[ours] = tuple(round(factor * value, 6) for value in given)
    return said


def _numbers(values, count):
    whole = isinstance(values, list) and len(values) == count
    return whole and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _size(path, name, value):
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
        raise ValueError(f"{path}: {name} {value!r}: expected a number of pixels")
    return value


def _crop(path, name, value):
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError(f"{path}: {name} {value!r}: expected a number above 0 and at most 1")
    return float(value)


def _interpolation(path, name, value):
    # With "random", timm draws one of the two for every training image, and evaluates with bilinear.
    found = "bilinear" if value == "random" else value
    if found not in ("bilinear", "bicubic"):
        raise ValueError(f'{path}: {name} {value!r}: expected "bilinear" or "bicubic"')
    return found


def _labels(path, name, values):
    """Returns the class names in order, from a list or {"0": name}; () for transformers' placeholders."""
    if not values:
        return ()
    if isinstance(values, dict):
        try:
            numbered = {int(key): value for key, value in values.items()}
        except ValueError:
            raise ValueError(f"{path}: {name}: expected the numbers of classes as keys") from None
        if sorted(numbered) != list(range(len(numbered))):
            raise ValueError(f"{path}: {name}: expected a name for each class from 0 to {max(numbered)}")
        values = [numbered[i] for i in range(len(numbered))]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{path}: {name}: expected the names of classes")
    placeholders = all(value == f"LABEL_{i}" for i, value in enumerate(values))
    return () if placeholders else tuple(values)
