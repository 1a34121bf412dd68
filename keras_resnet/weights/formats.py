"""How others name, lay out and use their tensors; each convention is told by a few of its names.

| convention | whose files | module |
|---|---|---|
| native | this package's | here |
| torch | torchvision's, timm's, and networks for CIFAR in their style | torch_names.py |
| transformers | transformers' | transformers_names.py |
| keras_applications | keras.applications' | keras_names.py |
| tf2cv | tf2cv's networks for CIFAR | keras_names.py |
| official | tf-models-official's checkpoints | official_names.py |
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
    """How one group of publishers' tensors are read.

    Attributes:
        name: what it is called in messages.
        matches: names of tensors -> whether they are named so.
        rename: {their name: tensor} -> {our path: array in our layout}, without what is not needed.
        unseen: fields of `Spec` that tensors do not show.
        preprocessing: how images are made ready unless someone knows better.
        epsilon: of their batch normalization.
        bgr: whether their first convolution takes blue, green, red.
        known: fields of `preprocessing` that are so for all weights of this convention.
        assumed: what else a user has to be told where nothing but tensors is at hand.
    """

    name: str
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
        matches=lambda names: any(name.startswith("stage1_block1_conv1/") for name in names),
        rename=lambda arrays: arrays,
        unseen=lambda names: {"stride_in": "3x3"} if "stage1_block1_preact_bn/gamma" in names else {},
        assumed=("what tensors do not show (strides, pooled projections) is as in the row of that shape",),
    ),
    WeightFormat(
        name="torch",
        matches=torch_names.matches,
        rename=torch_names.rename,
        unseen=torch_names.unseen,
        preprocessing=torch_names.preprocessing,
    ),
    WeightFormat(
        name="transformers",
        matches=transformers_names.matches,
        rename=transformers_names.rename,
        unseen=lambda names: {"stride_in": "3x3", "avg_down": False},
        preprocessing=lambda names: Preprocessing(image_size=224, interpolation="bicubic"),
    ),
    WeightFormat(
        name="keras_applications v1",
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
        matches=keras_names.matches,
        rename=keras_names.rename,
        unseen=lambda names: {"stride_in": "3x3", "stride_at": "last", "pool_border": "zero"},
        preprocessing=lambda names: _KERAS_V2,
        known=("mean", "std"),
        epsilon=1.001e-5,
    ),
    WeightFormat(
        name="tf2cv",
        matches=keras_names.matches_tf2cv,
        rename=keras_names.rename_tf2cv,
        unseen=lambda names: {"stride_in": "3x3"},
    ),
    WeightFormat(
        name="official",
        matches=official_names.matches,
        rename=official_names.rename,
        unseen=lambda names: {"stride_in": "3x3", "padding": "same"},
        epsilon=1e-3,
        assumed=("batch normalization's epsilon is 1e-3, the default of its networks",),
    ),
)


def convention_of(names: set[str], source: str) -> WeightFormat:
    """Finds the convention that names tensors so.

    Raises:
        ValueError: none does.
    """
    for convention in WEIGHT_FORMATS:
        if convention.matches(names):
            return convention
    first = ", ".join(sorted(names)[:3]) or "none"
    raise ValueError(f"{source}: its tensors ({first}, ...) are named like those of no network that is known here")
