"""Provides `LayerOptions` and `Implementation`, the groups of options of a network beside its drawing.

Each option says of itself whether weights show it. Imports only the standard library.
"""

import typing
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Shortcut = Literal["A", "B", "C"]
Version = Literal["1", "1.5", "2"]
ZeroPaddingPosition = Literal["end", "both"]
Normalization = Literal["batch", "none"]
Activation = Literal["relu", "sigmoid"]
Padding = Literal["symmetric", "same"]
FirstProjection = Literal["changed", "always"]
FirstShortcut = Literal["activated", "raw"]
Initialization = Literal["he", "xavier", "small", "large"]


def option(
    default: Any, *, in_weights: bool = True, varies: bool = False, when: Callable[[Any], bool] | None = None
) -> Any:
    """Declares an option.

    Args:
        default: its default; published weights and golden numbers depend on it.
        in_weights: whether the name or the shape of a tensor shows it.
        varies: whether weights of one network differ in it, and therefore determine it, as all of `Implementation` do.
        when: whether it has an effect on a `Spec`; default always.
    """
    return field(default=default, metadata={"in_weights": in_weights, "varies": varies, "when": when})


@dataclass(frozen=True)
class Options:
    """Base class of all groups, which checks the values of `Literal` fields."""

    def __post_init__(self):
        for each in fields(self):
            allowed = typing.get_args(each.type) if typing.get_origin(each.type) is Literal else ()
            value = getattr(self, each.name)
            if allowed and value not in allowed:
                raise ValueError(f"{each.name} must be one of {allowed}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class LayerOptions(Options):
    """Defines how the layers of a network are made.

    Attributes:
        normalization: "batch" or "none".
        activation: "relu" or "sigmoid".
        initialization: "he" (He et al. 2015), "xavier", or "small" and "large" with half and twice He's standard
            deviation.

    Raises:
        ValueError: a field has a value that is not allowed.
    """

    normalization: Normalization = "batch"
    activation: Activation = option("relu", in_weights=False)
    initialization: Initialization = option("he", in_weights=False)


@dataclass(frozen=True, kw_only=True)
class Implementation(Options):
    """Defines the details in which implementations of the same network differ, and therefore its published weights.

    Attributes:
        stride_in: strided layer of a bottleneck: "1x1" in the paper, "3x3" in fb.resnet.torch (version 1.5).
        stride_at: block of a stage that halves the size: "first", or "last" (keras.applications V2).
        zero_padding_position: zeros of option A: "end", after x (fb.resnet.torch), or "both", half on each side.
        padding: at stride 2, "symmetric", or "same" with one pixel less at left and top (tf-models-official).
        pool_border: border of the stem's pooling without a ReLU before it: "edge", or "zero" (keras.applications V2).
        conv_bias: bias of convolutions without a normalization after them: "none" or "unnormalized".
        first_projection: projection in a stage's first block: "changed", where the shape changes, or "always"
            (tf-models-official).
        first_shortcut: in version 2, the first block's shortcut takes x "activated" (He et al. 2016) or "raw", before
            its ReLU (timm).

    Raises:
        ValueError: a field has a value that is not allowed.
    """

    stride_in: Literal["1x1", "3x3"] = option("1x1", in_weights=False, when=lambda spec: spec.block == "bottleneck")
    stride_at: Literal["first", "last"] = option("first", in_weights=False)
    zero_padding_position: ZeroPaddingPosition = option("end", in_weights=False, when=lambda spec: spec.shortcut == "A")
    padding: Padding = option("symmetric", in_weights=False)
    pool_border: Literal["edge", "zero"] = option("edge", in_weights=False)
    conv_bias: Literal["none", "unnormalized"] = "none"
    first_projection: FirstProjection = "changed"
    first_shortcut: FirstShortcut = option("activated", in_weights=False, when=lambda spec: spec.block != "bottleneck")
