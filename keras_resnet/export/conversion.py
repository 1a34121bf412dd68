"""Provides what the writers of all formats share in one export: network, plan, folder and calibration images."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import keras
import tensorflow as tf

from keras_resnet.config import Export
from keras_resnet.description import Description
from keras_resnet.export.formats import EXPORT_FORMATS, Plan
from keras_resnet.export.graph import fold, frozen_network

CALIBRATION = 200  # images


class Exportable(Protocol):
    """What `export_model` needs of a trained model.

    Attributes:
        description: model description, with architecture, preprocessing and class names.
        settings: the `export` group of a configuration.
        kind: what its models are, for messages: "classifiers".
        comparison: the module of `keras_resnet.export.comparisons` that compares the outputs.
        precisions: the precisions in which its models can be exported.
        batch: images per call of files for other runtimes than TensorFlow; None if there are files for any number.
        call_bytes: bytes of the prepared images in one call, at most, while artifacts are compared and measured, and in
            warm-up requests; for models that take long, or much memory, for large images. None: any.
        has_stages: whether there is a signature for the stages' outputs.
    """

    description: Description
    settings: Export
    kind: str
    comparison: str
    precisions: tuple[str, ...]
    batch: int | None
    call_bytes: int | None
    has_stages: bool

    def network(self, model: keras.Model, change: Callable, stages: bool = False) -> Callable:
        """Returns the network as a function: prepared images (N, *image_shape) -> {name: (N, ...)}.

        Args:
            model: the trained model.
            change: functional model -> one with the same inputs and outputs; called for the convolutional part.
            stages: also return the stages' outputs.
        """

    def signatures(self, network: Callable, stages: bool) -> dict[str, tuple[Callable, list]]:
        """Returns the signatures of the exported model: {name: (function, input specs)}, the default one first.

        The signature "network" takes prepared images; artifacts are compared on what it returns.
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
        model: the trained model.
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

    def network(self, change: Callable) -> Callable:
        """Returns the network after `change`: prepared images (N, *image_shape) -> {name: (N, ...)}."""
        return self.what.network(self.model, change, self.plan.stages)

    @cached_property
    def frozen(self) -> Callable:
        """The folded network with its weights as constants, for converters: prepared images -> outputs.

        It is made where it is first read, which must be outside of a `tf.function`.
        """
        network = frozen_network(self.network(fold), self.description.preprocessing.image_shape, self.what.batch)
        return self.what.signatures(network, False)["network"][0]

    @property
    def spec(self) -> tf.TensorSpec:
        """The images that `frozen` takes."""
        image_shape = self.description.preprocessing.image_shape
        return tf.TensorSpec([self.what.batch, *image_shape], tf.float32, name="images")

    @cached_property
    def calibration(self) -> Any:
        """Images (N, H, W, C) float32 from which int8 chooses its ranges."""
        return self.what.calibration_images(CALIBRATION)

    def path(self, format_: str, precision: str, batch: int | None = None) -> str:
        """Returns the path of a file next to the SavedModel; the number replaces "version" once it is known."""
        ending = ("" if precision == "float32" else f"-{precision}") + (f"-batch{batch}" if batch else "")
        return os.path.join(self.staging, format_, f"version{ending}{EXPORT_FORMATS[format_].suffix}")
