"""Provides the table of weight formats: how each library names, lays out and uses its tensors.

A few tensor names identify each format; the first row that matches is used.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from keras_resnet.description import Preprocessing
from keras_resnet.weights import keras_names, official_names, torch_names, transformers_names

Arrays = dict[str, np.ndarray]
EPSILON = 1e-5  # of this package's batch normalization


@dataclass(frozen=True, kw_only=True)
class WeightFormat:
    """Names, layout and properties of the tensors of one or several libraries.

    Attributes:
        name: name of the format in messages.
        files: what the files are of, in messages.
        matches: names of tensors -> whether they have this format.
        rename: {library's name: tensor} -> {this package's path: array in its layout}, without unneeded tensors.
        unseen: names of tensors -> fields of `Spec` that tensors do not show.
        preprocessing: names of tensors -> default preprocessing, used if no other source states it.
        epsilon: epsilon of batch normalization.
        bgr: whether the first convolution takes blue, green, red.
        known: fields of `preprocessing` that hold for all weights of this format.
        assumed: other assumptions to report to the user if the tensors are the only source.
    """

    name: str
    files: str
    matches: Callable[[set[str]], bool]
    rename: Callable[[Arrays], Arrays]
    unseen: Callable[[set[str]], dict]
    preprocessing: Callable[[set[str]], Preprocessing] = field(default=lambda names: Preprocessing())
    epsilon: float = EPSILON
    bgr: bool = False
    known: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


_KERAS_V1 = Preprocessing(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0), image_size=224, crop_pct=1.0)
_KERAS_V2 = Preprocessing(mean=(127.5,) * 3, std=(127.5,) * 3, image_size=224, crop_pct=1.0)

WEIGHT_FORMATS = (
    WeightFormat(
        name="native",
        files="this package",
        matches=lambda names: any(name.startswith("stage1_block1_conv1/") for name in names),
        rename=lambda arrays: arrays,
        unseen=lambda names: {"stride_in": "3x3"} if "stage1_block1_preact_bn/gamma" in names else {},
        assumed=("strides and pooled projections, which tensors do not show, are those of the network of that shape",),
    ),
    WeightFormat(
        name="torch",
        files="torchvision, timm, and networks for CIFAR in their style",
        matches=torch_names.matches,
        rename=torch_names.rename,
        unseen=torch_names.unseen,
        preprocessing=torch_names.preprocessing,
    ),
    WeightFormat(
        name="transformers",
        files="transformers",
        matches=transformers_names.matches,
        rename=transformers_names.rename,
        unseen=lambda names: {"stride_in": "3x3", "avg_down": False},
        preprocessing=lambda names: Preprocessing(image_size=224, interpolation="bicubic"),
    ),
    WeightFormat(
        name="keras_applications v1",
        files="keras.applications",
        matches=lambda names: keras_names.matches(names) and "conv1_bn/gamma" in names,
        rename=keras_names.rename,
        unseen=lambda names: {},
        preprocessing=lambda names: _KERAS_V1,
        known=("mean", "std"),
        epsilon=1.001e-5,
        bgr=True,
    ),
    WeightFormat(
        name="keras_applications v2",
        files="keras.applications",
        matches=keras_names.matches,
        rename=keras_names.rename,
        unseen=lambda names: {"stride_in": "3x3", "stride_at": "last", "pool_border": "zero"},
        preprocessing=lambda names: _KERAS_V2,
        known=("mean", "std"),
        epsilon=1.001e-5,
    ),
    WeightFormat(
        name="tf2cv",
        files="tf2cv's networks for CIFAR",
        matches=keras_names.matches_tf2cv,
        rename=keras_names.rename_tf2cv,
        unseen=lambda names: {"stride_in": "3x3"},
    ),
    WeightFormat(
        name="official",
        files="tf-models-official",
        matches=official_names.matches,
        rename=official_names.rename,
        unseen=lambda names: {"stride_in": "3x3", "padding": "same"},
        epsilon=1e-3,
        assumed=("batch normalization's epsilon is 1e-3, the default of its networks",),
    ),
)


def convention_of(names: set[str], source: str) -> WeightFormat:
    """Returns the weight format that matches the names of tensors.

    Raises:
        ValueError: no format matches.
    """
    for convention in WEIGHT_FORMATS:
        if convention.matches(names):
            return convention
    first = ", ".join(sorted(names)[:3]) or "none"
    known = "; ".join(dict.fromkeys(each.files for each in WEIGHT_FORMATS))
    raise ValueError(f"{source}: its tensors ({first}, ...) are named as in no known weight format; known are {known}")
