"""Provides what the writers of all formats share in one export: network, plan, folder and calibration images."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import keras

from keras_resnet.config import Export
from keras_resnet.description import Description
from keras_resnet.export.formats import EXPORT_FORMATS, Plan
from keras_resnet.export.graph import frozen_network

CALIBRATION = 200  # images


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


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The conversion of one network to the formats of a plan.

    Attributes:
        what: gives the description, the signatures and the images.
        model: images -> answers, see `keras_resnet.export.graph.answers`.
        plan: formats and precisions.
        staging: the temporary folder, with an empty folder for each format.
        tell: called with a line for each part of the work.
    """

    what: Exportable
    model: keras.Model
    plan: Plan
    staging: str
    tell: Callable[[str], None]

    @property
    def description(self) -> Description:
        """The model description."""
        return self.what.description

    @cached_property
    def frozen(self) -> Callable:
        """The folded network with its weights as constants, for converters: images -> answers.

        It is made where it is first read, which must be outside of a `tf.function`.
        """
        return frozen_network(self.model)

    @cached_property
    def calibration(self) -> Any:
        """Images (N, H, W, C) float32 from which int8 chooses its ranges."""
        return self.what.calibration_images(CALIBRATION)

    def path(self, format_: str, precision: str, batch: int | None = None) -> str:
        """Returns the path of a file next to the SavedModel; the number replaces "version" once it is known."""
        ending = ("" if precision == "float32" else f"-{precision}") + (f"-batch{batch}" if batch else "")
        return os.path.join(self.staging, format_, f"version{ending}{EXPORT_FORMATS[format_].suffix}")
