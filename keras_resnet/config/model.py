"""The group `model`."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from keras_resnet.config.fields import Group, one_of, problem
from keras_resnet.specs import (
    SPECS,
    Activation,
    Initialization,
    LastGamma,
    Normalization,
    Shortcut,
    Version,
    ZeroChannels,
    variant,
)


def _as_text(value):
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class Model(Group):
    """Which network."""

    name: Annotated[str, one_of(tuple(SPECS))] = Field(
        "cifar_resnet20", description="A row of keras_resnet.SPECS; `python -m keras_resnet list` shows them."
    )
    version: Annotated[Version | None, BeforeValidator(_as_text)] = Field(
        None, description="1: the paper. 1.5: stride on the 3x3. 2: pre-activation. null: the row's own."
    )
    shortcut: Shortcut | None = Field(None, description="Option A, B or C of the paper. null: the row's own.")
    zero_channels: ZeroChannels | None = Field(None, description="Where option A puts its zero channels.")
    normalization: Normalization | None = Field(None, description="none: no batch normalization; biases instead.")
    activation: Activation | None = Field(None, description="The non-linearity.")
    initialization: Initialization | None = Field(
        None, description="he, xavier, or He's deviation halved (small) or doubled (large)."
    )
    last_gamma: LastGamma | None = Field(
        None, description="First scale of a block's last normalization. zero: blocks begin as the identity."
    )
    stochastic_depth: float | None = Field(
        None, ge=0, lt=1, description="How often the last block's F is left out in training; linear from the first."
    )
    weights: str | None = Field(
        None,
        description="A .safetensors file of this network's weights to start from. Another number of classes: new head.",
    )
    new_head: bool = Field(False, description="Start with a new classifier even where that of `weights` would fit.")

    @model_validator(mode="after")
    def _describes_a_network(self):
        if self.shortcut is not None and SPECS[self.name].merge == "plain":
            raise problem(["shortcut"], f"{self.name} has no shortcuts; leave it out")
        if self.new_head and not self.weights:
            raise problem(["new_head"], "is for a run that starts from model.weights, which is not given")
        try:
            _ = self.spec
        except ValueError as error:
            raise problem([], str(error)) from None
        return self

    @property
    def spec(self):
        """The network's `Spec`."""
        return variant(SPECS[self.name], **self.model_dump(exclude={"name", "weights", "new_head"}))
