"""The group `model`."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from keras_resnet.config.fields import Group, one_of, problem
from keras_resnet.description import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, check_units
from keras_resnet.specs import (
    SPECS,
    Activation,
    FirstProjection,
    FirstShortcut,
    Initialization,
    Normalization,
    Padding,
    Shortcut,
    Spec,
    Version,
    ZeroPaddingPosition,
    variant,
)

# What published weights of one network differ in. Weights to start from fill in what a configuration leaves null.
WEIGHT_OPTIONS = ("version", "shortcut", "zero_padding_position", "padding", "first_projection", "first_shortcut")
FILLED_IN = (*WEIGHT_OPTIONS, "mean", "std")


def _as_text(value):
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class Model(Group):
    """Which network."""

    name: Annotated[str, one_of(tuple(SPECS))] = Field(
        "cifar_resnet20", description="A row of keras_resnet.SPECS; `keras-resnet list` shows them."
    )
    version: Annotated[Version | None, BeforeValidator(_as_text)] = Field(
        None, description="1: the paper. 1.5: stride on the 3x3. 2: pre-activation. null: the row's own."
    )
    shortcut: Shortcut | None = Field(None, description="Option A, B or C of the paper. null: the row's own.")
    zero_padding_position: ZeroPaddingPosition | None = Field(
        None, description="Where option A puts its zero channels."
    )
    padding: Padding | None = Field(
        None, description="At stride 2. symmetric: as Caffe and Torch. same: one pixel less left and above."
    )
    first_projection: FirstProjection | None = Field(
        None, description="always: a projection in every stage's first block, as in tf-models-official's networks."
    )
    first_shortcut: FirstShortcut | None = Field(
        None, description="Version 2: what the first block's shortcut takes, activated (He et al. 2016) or raw (timm)."
    )
    normalization: Normalization | None = Field(None, description="none: no batch normalization; biases instead.")
    activation: Activation | None = Field(None, description="The non-linearity.")
    initialization: Initialization | None = Field(
        None, description="he, xavier, or He's standard deviation halved (small) or doubled (large)."
    )
    zero_init_last_gamma: bool | None = Field(
        None, description="Initialize the scale of a block's last normalization with 0: blocks begin as the identity."
    )
    drop_path_rate: float | None = Field(
        None, ge=0, lt=1, description="How often the last block's F is left out in training; linear from the first."
    )
    weights: str | None = Field(
        None,
        description="Weights to start from: a file, or a name of `keras-resnet list --weights`. "
        "Another number of classes: new head. The version and the normalization of images are then the weights' own.",
    )
    reset_head: bool = Field(False, description="Start with a new classifier even where that of `weights` would fit.")

    mean: tuple[Annotated[float, Field(ge=0, le=255)], ...] | None = Field(
        None,
        strict=False,
        description="Subtracted from images in [0, 255], per channel. null: the weights', else ImageNet's.",
    )
    std: tuple[Annotated[float, Field(gt=0, le=255)], ...] | None = Field(
        None, strict=False, description="Images are divided by it, per channel. null: the weights', else ImageNet's."
    )

    @model_validator(mode="after")
    def _describes_a_network(self):
        if self.shortcut is not None and SPECS[self.name].skip == "none":
            raise problem(["shortcut"], f"{self.name} has no shortcuts; leave it out")
        if self.reset_head and not self.weights:
            raise problem(["reset_head"], "is for a run that starts from model.weights, which is not given")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and not 1 <= len(values) <= 4:
                raise problem([name], f"expected a number per channel, got {list(values)}")
            try:
                check_units(**{"mean": None, "std": None, name: values})
            except ValueError as error:
                raise problem([name], str(error).removeprefix(f"{name}: ")) from None
        try:
            _ = self.spec
        except ValueError as error:
            raise problem([], str(error)) from None
        return self

    @property
    def spec(self):
        """The network's `Spec`."""
        return variant(SPECS[self.name], **self.model_dump(exclude={"name", "weights", "reset_head", "mean", "std"}))

    @property
    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of images per channel, RGB in [0, 255]."""
        return self.mean or IMAGENET_MEAN, self.std or IMAGENET_STD

    def filled_in(self, spec: Spec, preprocessing: Preprocessing) -> "Model":
        """The same with what is null and what weights of one network differ in as these weights have it."""
        theirs = {
            name: getattr(spec, name) for name in WEIGHT_OPTIONS if getattr(spec, name) != getattr(self.spec, name)
        }
        theirs |= {name: getattr(preprocessing, name) for name in ("mean", "std")}
        return self.model_copy(update={name: value for name, value in theirs.items() if getattr(self, name) is None})
