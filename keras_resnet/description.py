"""What a network is, beside its weights: it goes where the weights go. Imports only the standard library."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from keras_resnet.specs import Spec

Interpolation = Literal["bilinear", "bicubic"]

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB in [0, 255]; torchvision's 0.485, 0.456, 0.406 times 255
IMAGENET_STD = (58.395, 57.12, 57.375)  # 0.229, 0.224, 0.225 times 255


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How images are made ready for a network: resized, cropped from the centre, normalized.

    Attributes:
        mean, std: per channel, RGB, in the units of images in [0, 255].
        image_size: height and width in pixels of the crop; None where it is not known.
        crop_fraction: the shorter side is resized to image_size / crop_fraction before the crop.
        interpolation: of that resizing.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    image_size: int | None = None
    crop_fraction: float = 0.875
    interpolation: Interpolation = "bilinear"

    def __post_init__(self):
        for name, values in (("mean", self.mean), ("std", self.std)):
            try:
                object.__setattr__(self, name, tuple(float(value) for value in values))
            except (TypeError, ValueError):
                raise ValueError(f"{name} must be numbers, one per channel, got {values!r}") from None
        if not self.std or min(self.std) <= 0:
            raise ValueError(f"std must be greater than 0, got {self.std}")


@dataclass(frozen=True, kw_only=True)
class Description:
    """A network, how images are made ready for it, and where its weights are from.

    The models of this package carry it as `model.description`, their weight files as strings beside the tensors.

    Attributes:
        spec: which network.
        preparation: how images are made ready.
        source: where the weights are from, "" for those of a new model.
        labels: a name for each class, where they are known.
    """

    spec: Spec
    preparation: Preparation
    source: str = ""
    labels: tuple[str, ...] = ()

    def to_metadata(self) -> dict[str, str]:
        """The strings to keep in a file of weights."""
        return {
            "spec": json.dumps(dataclasses.asdict(self.spec)),
            "preparation": json.dumps(dataclasses.asdict(self.preparation)),
            "source": self.source,
            "labels": json.dumps(self.labels),
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> "Description | None":
        """Reads what `to_metadata` wrote; None where it is not there.

        Raises:
            ValueError: it is there and cannot be read.
        """
        if "spec" not in metadata or "preparation" not in metadata:
            return None
        try:
            spec = Spec(**_fields(Spec, metadata["spec"]))
            preparation = Preparation(**_fields(Preparation, metadata["preparation"]))
            labels = tuple(map(str, json.loads(metadata.get("labels", "[]"))))
        except (TypeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"what it says of its network cannot be read ({error})") from None
        return cls(spec=spec, preparation=preparation, source=metadata.get("source", ""), labels=labels)


def _fields(kind, text):
    values = json.loads(text)
    if not isinstance(values, dict):
        raise TypeError(f"expected the fields of a {kind.__name__}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def same_network(one: Spec, other: Spec, fields: tuple[str, ...]) -> str:
    """The first of `fields` in which two networks differ, "" where they are the same."""
    return next((name for name in fields if getattr(one, name) != getattr(other, name)), "")
