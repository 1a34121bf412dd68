"""The configuration group `model`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from keras_resnet.config.fields import MAX_CHANNELS, Group, one_of, problem
from keras_resnet.description import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, check_units
from keras_resnet.options import (
    Activation,
    FirstProjection,
    FirstShortcut,
    Initialization,
    Normalization,
    Padding,
    Shortcut,
    Version,
    ZeroPaddingPosition,
)
from keras_resnet.specs import OPTIONS, SPECS, TRAINING_ARGUMENTS, Spec, check_training_arguments, variant
from keras_resnet.specs import WEIGHT_OPTIONS as ALL_WEIGHT_OPTIONS


def _as_text(value):
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class Model(Group):
    """The network, its options and its initial weights."""

    name: Annotated[str, one_of(tuple(SPECS))] = Field(
        "cifar_resnet20", description="A network of keras_resnet.SPECS; `keras-resnet list` shows them."
    )
    version: Annotated[Version | None, BeforeValidator(_as_text)] = Field(
        None, description="1: as in the paper. 1.5: stride in the 3x3. 2: pre-activation. null: the network's own."
    )
    shortcut: Shortcut | None = Field(None, description="Option A, B or C of the paper. null: the network's own.")
    zero_padding_position: ZeroPaddingPosition | None = Field(
        None, description="Position of the zero channels of option A."
    )
    padding: Padding | None = Field(
        None, description="Padding at stride 2. symmetric: as in Caffe and Torch. same: one pixel less left and above."
    )
    first_projection: FirstProjection | None = Field(
        None, description="always: a projection in the first block of every stage, as in tf-models-official."
    )
    first_shortcut: FirstShortcut | None = Field(
        None, description="Version 2: input of the first block's shortcut, activated (He et al. 2016) or raw (timm)."
    )
    normalization: Normalization | None = Field(None, description="none: biases instead of batch normalization.")
    activation: Activation | None = Field(None, description="The activation function.")
    initialization: Initialization | None = Field(
        None, description="he, xavier, or half (small) or twice (large) He's standard deviation."
    )
    zero_init_last_gamma: bool | None = Field(
        None, description="Initialize the last gamma of each block with 0, so that blocks start as the identity."
    )
    drop_path_rate: float | None = Field(
        None, ge=0, lt=1, description="Stochastic depth: drop rate of the last block; increases linearly from 0."
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Dropout rate before the classifier, in highway19 also before its transitions. null: the network's "
        "own, 0.2 for highway19, else 0.",
    )
    weights: str | None = Field(
        None,
        description="Initial weights: a file, or a name of `keras-resnet list --weights`. They fill in null options "
        "such as version, mean and std. With a different number of classes, the classifier is new, and so are the "
        "layers of classes of a detector.",
    )
    reset_head: bool = Field(False, description="Start with a new classifier, even if that of `weights` fits.")

    mean: tuple[float, ...] | None = Field(
        None,
        strict=False,
        description="Mean per channel, subtracted from images in [0, 255], or in the units of the files with "
        "data.channels. null: from the weights, else ImageNet's.",
    )
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None,
        strict=False,
        description="Standard deviation per channel, by which images are divided, in the units of `mean`. null: from "
        "the weights, else ImageNet's.",
    )

    @model_validator(mode="after")
    def _describes_a_network(self):
        if self.shortcut is not None and SPECS[self.name].skip == "none":
            raise problem(["shortcut"], f"{self.name} has no shortcuts; omit it")
        if self.reset_head and not self.weights:
            raise problem(["reset_head"], "requires model.weights")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and not 1 <= len(values) <= MAX_CHANNELS:
                raise problem([name], f"expected a number per channel, got {list(values)}")
            try:
                check_units(**{"mean": None, "std": None, name: values})
            except ValueError as error:
                raise problem([name], str(error).removeprefix(f"{name}: ")) from None
        try:
            check_training_arguments(self.spec, **self.training_arguments)
        except ValueError as error:
            raise problem([], str(error)) from None
        return self

    @property
    def spec(self):
        """Returns the network's `Spec`."""
        return variant(SPECS[self.name], **self.model_dump(include={"version", *OPTIONS}))

    @property
    def training_arguments(self) -> dict[str, Any]:
        """Returns the arguments of `build` that belong to a recipe; the network's own values for null."""
        usual = {"drop_path_rate": 0.0, "zero_init_last_gamma": False, "dropout": self.spec.dropout}
        return {
            name: usual[name] if getattr(self, name) is None else getattr(self, name) for name in TRAINING_ARGUMENTS
        }

    @property
    def has_random_layers(self) -> bool:
        """Returns whether the network drops something in training."""
        return any(self.training_arguments[name] for name in ("drop_path_rate", "dropout"))

    @property
    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns the mean and standard deviation per channel, for RGB in [0, 255]."""
        return self.mean or IMAGENET_MEAN, self.std or IMAGENET_STD

    def filled_in(self, spec: Spec, preprocessing: Preprocessing) -> "Model":
        """Returns a copy in which the null options of `FILLED_IN` have the values of the weights."""
        theirs = {name: spec.option(name) for name in WEIGHT_OPTIONS if spec.option(name) != self.spec.option(name)}
        theirs |= {name: getattr(preprocessing, name) for name in ("mean", "std")}
        return self.model_copy(update={name: value for name, value in theirs.items() if getattr(self, name) is None})


# Options in which published weights of one network differ. Pretrained weights fill in those that are null.
WEIGHT_OPTIONS = ("version", *(name for name in Model.model_fields if name in ALL_WEIGHT_OPTIONS))
FILLED_IN = (*WEIGHT_OPTIONS, "mean", "std")
