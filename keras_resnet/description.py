"""Provides `Description`, which describes a trained model: network, preprocessing, class names and source.

Weights files, checkpoints, runs, exports, Hub folders and Keras models contain it. All code that preprocesses images or
names classes uses this description, not the current configuration or data set. Imports only the standard library.
"""

import dataclasses
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from keras_resnet.renamed import DESCRIPTION_FIELDS, OLD_PREPROCESSING, PREPROCESSING_FIELDS, upgrade
from keras_resnet.specs import Spec

DESCRIPTION_FILE = "assets.extra/description.json"  # in a SavedModel
Interpolation = Literal["bilinear", "bicubic"]
ExifOrientation = Literal["apply", "ignore"]
ImageSize = int | tuple[int, ...]  # height and width; one number if they are equal

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB in [0, 255]; torchvision's 0.485, 0.456, 0.406 times 255
IMAGENET_STD = (58.395, 57.12, 57.375)  # 0.229, 0.224, 0.225 times 255


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Preprocessing of images for a network: resizing, center crop and normalization.

    Attributes:
        mean, std: per channel, RGB, in the units of images in [0, 255].
        image_size: height and width in pixels of the crop, one number if they are equal; None if unknown.
        crop_pct: an image is resized to just cover image_size / crop_pct before the crop.
        interpolation: interpolation of that resizing.
        channels: number of channels of the images; None if unknown.
        resize: "crop", or "letterbox": the whole image, its longer side image_size, on a square of the mean color.
        exif_orientation: whether JPEGs are turned upright by their EXIF data.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    image_size: ImageSize | None = None
    crop_pct: float = 0.875
    interpolation: Interpolation = "bilinear"
    channels: int | None = None
    resize: Literal["crop", "letterbox"] = "crop"
    exif_orientation: ExifOrientation = "apply"

    def __post_init__(self):
        for name, values in (("mean", self.mean), ("std", self.std)):
            try:
                object.__setattr__(self, name, tuple(float(value) for value in values))
            except (TypeError, ValueError):
                raise ValueError(f"{name} must be numbers, one per channel, got {values!r}") from None
        if isinstance(self.image_size, list | tuple):  # a list in JSON
            height, width = self.image_size
            object.__setattr__(self, "image_size", height if height == width else (height, width))
        if not self.std or min(self.std) <= 0:
            raise ValueError(f"std must be greater than 0, got {self.std}")

    @property
    def pixel_values(self) -> str:
        """Returns what the values of an image are, in words."""
        if self.channels is None:
            return "in [0, 255]"
        units = "in the units of the training files"
        names = {1: "grayscale in [0, 255]", 3: "RGB in [0, 255]"}
        return names.get(self.channels, f"arrays of {self.channels} channels {units}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Returns (H, W, C) of a preprocessed image.

        Raises:
            ValueError: the size or the number of channels is unknown.
        """
        if self.image_size is None or self.channels is None:
            raise ValueError(
                f"the size of the images is unknown: image_size={self.image_size}, channels={self.channels}"
            )
        return *height_and_width(self.image_size), self.channels


def height_and_width(image_size: ImageSize) -> tuple[int, int]:
    """Returns (H, W) of one number or of a pair."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def size_text(image_size: ImageSize) -> str:
    """Formats 224 as "224" and (128, 256) as "128x256", height first."""
    return str(image_size) if isinstance(image_size, int) else "x".join(map(str, image_size))


def check_units(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Checks that a mean and a standard deviation are in the units of images in [0, 255].

    Those of four or more channels are in the units of the files, which may be any.

    Values for images in [0, 1], as torchvision and timm print them, would silently make every score wrong.

    Raises:
        ValueError: images in [0, 255] cannot have these values; the message names the probably intended ones.
    """
    mean, std = _of_few_channels("mean", mean), _of_few_channels("std", std)
    if mean and (min(mean) < 0 or max(mean) > 255 or 0 < max(mean) <= 1):
        raise ValueError(_wrong_units("mean", mean, "from 0 to 255", 0 < max(mean) <= 1))
    if std and (min(std) < 1 or max(std) > 255):
        raise ValueError(_wrong_units("std", std, "from 1 to 255", min(std) > 0 and max(std) <= 1))


def _of_few_channels(name, values):
    """Returns the values of up to three channels as numbers, [] for None or more channels."""
    try:
        return [] if values is None or len(values) > 3 else [float(value) for value in values]
    except (TypeError, ValueError):
        raise ValueError(f"{name}: got {values!r}, expected a number per channel") from None


def _wrong_units(name, values, expected, of_unit_range):
    given, meant = (", ".join(f"{factor * value:g}" for value in values) for factor in (1, 255))
    hint = f'; "{given}" for images in [0, 1] is "{meant}" here' if of_unit_range else ""
    return f"{name}: got {given}, but images are in [0, 255]: expected numbers {expected}{hint}"


@dataclass(frozen=True, kw_only=True)
class Description:
    """A network, its preprocessing, its class names, and the source of its weights.

    The models of this package have it as `model.description`, and their weights files as metadata strings.

    Attributes:
        spec: the architecture.
        preprocessing: the preprocessing of images.
        source: the source of the weights, "" for a new model.
        labels: a name for each class; empty if unknown.
        arguments: the constructor arguments that the model was built with: include_top, pooling,
            classifier_activation, include_preprocessing.
        detector: the options of a detector on the network, the values of
            `keras_resnet.config.detector_options.DetectorOptions`; empty for a classifier.
        head: the options of the layers that a task adds to the network, whose weights are named "head/..."; empty if
            it adds none.
        thresholds: of a multi-label classifier, for each class the score, a sigmoid, from which on it is an answer;
            empty for other models.
        conversion: how the weights of another library were changed, so that writing them gives its bits: the "epsilon"
            of its normalization, and "exponents" of `keras_resnet.weights.conversion.fold_epsilon`.
    """

    spec: Spec
    preprocessing: Preprocessing
    source: str = ""
    labels: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)
    detector: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()
    conversion: dict[str, Any] = field(default_factory=dict)

    def to_metadata(self) -> dict[str, str]:
        """Returns the description as metadata strings for a weights file."""
        values = self.to_json()
        # Plain values that were read from a checkpoint have another order of keys; the two others are dataclasses.
        plain = set(values) - {"spec", "preprocessing"}
        return {
            name: value if name == "source" else json.dumps(value, sort_keys=name in plain)
            for name, value in values.items()
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> "Description | None":
        """Creates a description from the strings of `to_metadata`; returns None if they are missing.

        Raises:
            ValueError: the strings exist and cannot be read.
        """
        if "spec" not in metadata or not {"preprocessing", OLD_PREPROCESSING} & set(metadata):
            return None
        names = {field.name for field in dataclasses.fields(cls)} - {"source"} | {OLD_PREPROCESSING}
        try:
            values = {name: json.loads(text) for name, text in metadata.items() if name in names}
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"the description of its network cannot be read ({error})") from None
        return cls.from_json(values | {"source": metadata.get("source", "")})

    def to_json(self) -> dict:
        """Returns the description as plain values, for JSON and for Keras's configurations."""
        others = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        preprocessing = dataclasses.asdict(self.preprocessing)
        # Files of classifiers are as they were before there were detectors and these fields.
        for name in ("resize", "exif_orientation"):
            if preprocessing[name] == getattr(Preprocessing, name):
                del preprocessing[name]
        for name in ("detector", "head", "thresholds", "conversion"):
            if not others[name]:
                del others[name]
        return json.loads(json.dumps(others | {"spec": self.spec.to_json(), "preprocessing": preprocessing}))

    @classmethod
    def from_json(cls, values: dict) -> "Description":
        """Creates a description from the values of `to_json`.

        Raises:
            ValueError: the values cannot be read.
        """
        try:
            values = upgrade(values, DESCRIPTION_FIELDS)
            return cls(
                spec=Spec.from_json(values["spec"]),
                preprocessing=Preprocessing(**upgrade(values["preprocessing"], PREPROCESSING_FIELDS)),
                source=str(values.get("source", "")),
                labels=tuple(map(str, values.get("labels", ()))),
                arguments=dict(values.get("arguments", {})),
                detector=dict(values.get("detector", {})),
                head=dict(values.get("head", {})),
                thresholds=tuple(map(float, values.get("thresholds", ()))),
                conversion=dict(values.get("conversion", {})),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the description of its network cannot be read ({error})") from None


def different_classes(labels: Sequence[str], others: Sequence[str]) -> str:
    """Returns the difference of two lists of class names for a message: `"cat" (1), not "hound" (1)`; "" if equal.

    Names are compared in Unicode's composed form, because macOS stores file names decomposed.
    """
    if [unicodedata.normalize("NFC", each) for each in labels] == [
        unicodedata.normalize("NFC", each) for each in others
    ]:
        return ""
    first = next((i for i, (one, other) in enumerate(zip(labels, others, strict=False)) if one != other), 0)
    return f"{_shown(labels, first)}, not {_shown(others, first)}"


def _shown(labels, first):
    """Formats a few names around the first difference, and the number of all names."""
    start = max(0, min(first - 1, len(labels) - 4))
    names = ", ".join(f'"{label}"' for label in labels[start : start + 4])
    before, after = "... " * (start > 0), ", ..." * (start + 4 < len(labels))
    return f"{before}{names}{after} ({len(labels)})"
