"""Provides `Spec` and `SPECS`, the architectures of all networks as data. Imports only the standard library."""

import typing
from dataclasses import dataclass, fields, replace
from typing import Literal

from keras_resnet.renamed import SPEC_FIELDS

Shortcut = Literal["A", "B", "C"]
Version = Literal["1", "1.5", "2"]
ZeroPaddingPosition = Literal["end", "both"]
Normalization = Literal["batch", "none"]
Activation = Literal["relu", "sigmoid"]
Padding = Literal["symmetric", "same"]
FirstProjection = Literal["changed", "always"]
FirstShortcut = Literal["activated", "raw"]
Initialization = Literal["he", "xavier", "small", "large"]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Defines the architecture of one network. `CONTRIBUTING.md` shows how to add an entry to `SPECS`.

    Raises:
        ValueError: a field has a value that is not allowed, or the fields contradict each other.
    """

    name: str
    stem: Literal["imagenet", "deep", "cifar"]  # 7x7 and pooling; three 3x3 and pooling (ResNet-C); one 3x3
    block: Literal["basic", "bottleneck", "single"]  # 3x3 twice; 1x1, 3x3, 1x1 four times as wide; 3x3 once
    depths: tuple[int, ...]  # blocks per stage
    widths: tuple[int, ...]  # filters of the 3x3 convolutions, per stage
    # Options that He et al. 2015 and 2016 compare
    skip: Literal["add", "none", "gate"] = "add"  # y = F + W_s x; y = F; y = T F + (1 - T) W_s x (Highway)
    shortcut: Shortcut = "B"  # A: zero channels; B: projection where the shape changes; C: everywhere
    zero_padding_position: ZeroPaddingPosition = "end"  # option A's zeros: after x (fb.resnet.torch); half on each side
    preactivation: bool = False  # normalization and ReLU before each convolution (2016), not after it (2015)
    stride_in: Literal["1x1", "3x3"] = "1x1"  # strided layer of a bottleneck: paper; fb.resnet.torch (version 1.5)
    normalization: Normalization = "batch"
    activation: Activation = "relu"
    initialization: Initialization = "he"  # small, large: half, twice He's standard deviation
    # Options that later recipes change (Goyal et al. 2017, section 5.1; Huang et al. 2016)
    zero_init_last_gamma: bool = False  # a block's last normalization has an initial scale of 0, so that F = 0
    drop_path_rate: float = 0.0  # stochastic depth: rate of the last block; increases linearly from 0
    # Options that published weights need
    groups: int = 1  # groups of a bottleneck's 3x3 convolution (ResNeXt: 32)
    width_per_group: int = 64  # filters per group where `widths` is 64 (ResNeXt: 4; Wide ResNet: 128)
    avg_down: bool = False  # strided projections are average pooling and a 1x1 of stride 1 (ResNet-D)
    se_reduction: int | None = None  # squeeze-and-excitation with channels / se_reduction features (SENet: 16)
    stride_at: Literal["first", "last"] = "first"  # block of a stage that halves the size (keras.applications V2: last)
    conv_bias: Literal["none", "unnormalized"] = "none"  # bias of convolutions without a normalization after them
    padding: Padding = "symmetric"  # at stride 2; same: one pixel less at left and top (tf-models-official)
    first_projection: FirstProjection = "changed"  # always: in every stage's first block (tf-models-official)
    first_shortcut: FirstShortcut = (
        "activated"  # version 2: the first block's shortcut takes x after (2016) or before (timm) its ReLU
    )
    pool_border: Literal["edge", "zero"] = "edge"  # border of the stem's pooling without a ReLU before it (V2: zero)
    # Options that the literal Highway network needs (Srivastava et al. 2015)
    transition: Literal["stride", "pool"] = "stride"  # pool: a stage starts with max pooling and a 3x3 convolution
    last_width: int | None = None  # filters of a 1x1 convolution before the classifier
    dropout: float = 0.0  # dropout rate in every transition and before the classifier

    def __post_init__(self):
        for field in fields(self):
            allowed = typing.get_args(field.type) if typing.get_origin(field.type) is Literal else ()
            if allowed and getattr(self, field.name) not in allowed:
                raise ValueError(
                    f"{self.name}: {field.name} must be one of {allowed}, got {getattr(self, field.name)!r}"
                )
        if len(self.depths) != len(self.widths) or not self.depths or min(self.depths + self.widths) < 1:
            given = f"depths={self.depths} widths={self.widths}"
            raise ValueError(f"{self.name}: depths and widths must be one per stage, each 1 or more, got {given}")
        ends_normalized = not self.preactivation and self.normalization == "batch" and self.skip == "add"
        if self.zero_init_last_gamma and not ends_normalized:
            raise ValueError(f"{self.name}: zero_init_last_gamma needs a normalization right before an addition")
        if not 0 <= self.drop_path_rate < 1 or (self.drop_path_rate and self.skip != "add"):
            raise ValueError(
                f"{self.name}: drop_path_rate must be in [0, 1) and needs shortcuts, got {self.drop_path_rate}"
            )
        if self.block != "bottleneck" and (self.groups, self.width_per_group) != (1, 64):
            raise ValueError(
                f"{self.name}: groups and width_per_group are for bottleneck blocks, got block={self.block!r}"
            )

    @property
    def layers(self) -> int:
        """Returns the number of weighted layers as the papers count them: stem, convolutions of F, classifier."""
        entries = len(self.depths) - 1 + (self.last_width is not None) if self.transition == "pool" else 0
        return 2 + sum(self.depths) * {"basic": 2, "bottleneck": 3, "single": 1}[self.block] + entries

    @property
    def image_size(self) -> int:
        """Returns the height and width in pixels of the paper's training images."""
        return 32 if self.stem == "cifar" else 224

    @property
    def classes(self) -> int:
        """Returns the number of classes of the network's data set: ImageNet's 1000 or CIFAR-10's 10."""
        return 10 if self.stem == "cifar" else 1000

    @property
    def version(self) -> Version:
        """Returns "1" (He et al. 2015), "1.5" (stride on the 3x3 convolution) or "2" (pre-activation)."""
        if self.preactivation:
            return "2"
        return "1.5" if self.stride_in == "3x3" else "1"


VERSIONS: dict[str, dict] = {
    "1": {"preactivation": False, "stride_in": "1x1"},
    "1.5": {"preactivation": False, "stride_in": "3x3"},
    "2": {"preactivation": True, "stride_in": "3x3"},
}


def variant(spec: Spec, *, version: Version | None = None, **options) -> Spec:
    """Returns a copy of `spec` with other options: `variant(spec, version="1.5", shortcut="C")`.

    Args:
        spec: an entry of `SPECS`.
        version: "1", "1.5" or "2".
        **options: fields of `Spec`; None keeps the value of `spec`.

    Raises:
        ValueError: a value is not allowed, or a shortcut is given for a plain network.
    """
    if version is not None and version not in VERSIONS:
        raise ValueError(f"version must be one of {tuple(VERSIONS)}, got {version!r}")
    for name in options:
        if name in SPEC_FIELDS:
            raise ValueError(f"{name} was renamed in version 0.2: use {SPEC_FIELDS[name].new}")
    options = {name: value for name, value in options.items() if value is not None}
    if spec.skip == "none" and "shortcut" in options:
        raise ValueError(f"{spec.name} has no shortcuts, got shortcut={options['shortcut']!r}")
    return replace(spec, **(VERSIONS[version] if version else {}) | options)


# Fields that change neither a tensor's name nor its shape. They cannot be inferred from weights.
NOT_IN_WEIGHTS: tuple[str, ...] = (
    *("name", "stride_in", "stride_at", "zero_padding_position", "padding", "pool_border", "zero_init_last_gamma"),
    *("drop_path_rate", "avg_down", "first_shortcut", "initialization", "activation", "dropout"),
)
IN_WEIGHTS: tuple[str, ...] = tuple(field.name for field in fields(Spec) if field.name not in NOT_IN_WEIGHTS)


def _imagenet(name, block, *depths, **options) -> Spec:
    return Spec(name=name, block=block, depths=depths, widths=(64, 128, 256, 512), **{"stem": "imagenet"} | options)


def _bottleneck(name, *depths, **options) -> Spec:
    return _imagenet(name, "bottleneck", *depths, stride_in="3x3", **options)


def _cifar(name, depth, block="basic", **options) -> Spec:
    n = (depth - 2) // (9 if block == "bottleneck" else 6)
    return Spec(
        name=name, stem="cifar", block=block, depths=(n,) * 3, widths=(16, 32, 64), **{"shortcut": "A"} | options
    )


CIFAR_DEPTHS = (20, 32, 44, 56, 110)  # He et al. 2015, section 4.2; and 1202
_D = {"stem": "deep", "avg_down": True}
_V2_OF_KERAS = {"preactivation": True, "stride_at": "last", "conv_bias": "unnormalized", "pool_border": "zero"}

_ROWS = (
    # He et al. 2015, table 1
    _imagenet("resnet18", "basic", 2, 2, 2, 2),
    _imagenet("resnet34", "basic", 3, 4, 6, 3),
    _imagenet("resnet50", "bottleneck", 3, 4, 6, 3),
    _imagenet("resnet101", "bottleneck", 3, 4, 23, 3),
    _imagenet("resnet152", "bottleneck", 3, 8, 36, 3),
    _imagenet("plain18", "basic", 2, 2, 2, 2, skip="none"),
    _imagenet("plain34", "basic", 3, 4, 6, 3, skip="none"),
    # He et al. 2015, table 6 and figure 6
    *(_cifar(f"cifar_resnet{depth}", depth) for depth in (*CIFAR_DEPTHS, 1202)),
    *(_cifar(f"cifar_plain{depth}", depth, skip="none") for depth in (*CIFAR_DEPTHS, 1202)),
    # ResNet-32 with bottleneck instead of basic blocks, like ResNet-50 for ResNet-34 (He et al. 2015, section 4.1)
    _cifar("cifar_bottleneck47", 47, "bottleneck"),
    # He et al. 2016, table 3
    *(
        _cifar(f"cifar_preresnet{depth}", depth, "bottleneck", preactivation=True, shortcut="B")
        for depth in (164, 1001)
    ),
    # Srivastava et al. 2015: its gates in the CIFAR networks above, and its own network of 19 layers
    *(_cifar(f"cifar_highway{depth}", depth, skip="gate") for depth in CIFAR_DEPTHS),
    Spec(
        name="highway19",
        stem="cifar",
        block="single",
        depths=(4, 5, 5),
        widths=(32, 80, 128),
        skip="gate",
        normalization="none",
        transition="pool",
        last_width=100,
        dropout=0.2,
    ),
    # Xie et al. 2016 (ResNeXt); Zagoruyko and Komodakis 2016 (Wide ResNet): as in torchvision
    _bottleneck("resnext50_32x4d", 3, 4, 6, 3, groups=32, width_per_group=4),
    _bottleneck("resnext101_32x8d", 3, 4, 23, 3, groups=32, width_per_group=8),
    _bottleneck("resnext101_64x4d", 3, 4, 23, 3, groups=64, width_per_group=4),
    _bottleneck("wide_resnet50_2", 3, 4, 6, 3, width_per_group=128),
    _bottleneck("wide_resnet101_2", 3, 4, 23, 3, width_per_group=128),
    # He et al. 2018 (ResNet-C, ResNet-D); Hu et al. 2017 (squeeze-and-excitation): as in timm
    _bottleneck("resnet26", 2, 2, 2, 2),
    _bottleneck("resnet50c", 3, 4, 6, 3, stem="deep"),
    _bottleneck("resnet101c", 3, 4, 23, 3, stem="deep"),
    _bottleneck("resnet152c", 3, 8, 36, 3, stem="deep"),
    _imagenet("resnet18d", "basic", 2, 2, 2, 2, **_D),
    _imagenet("resnet34d", "basic", 3, 4, 6, 3, **_D),
    _bottleneck("resnet26d", 2, 2, 2, 2, **_D),
    _bottleneck("resnet50d", 3, 4, 6, 3, **_D),
    _bottleneck("resnet101d", 3, 4, 23, 3, **_D),
    _bottleneck("resnet152d", 3, 8, 36, 3, **_D),
    _bottleneck("resnet200d", 3, 24, 36, 3, **_D),
    _bottleneck("resnext50d_32x4d", 3, 4, 6, 3, groups=32, width_per_group=4, **_D),
    _bottleneck("resnext101_32x4d", 3, 4, 23, 3, groups=32, width_per_group=4),
    _bottleneck("resnext101_32x16d", 3, 4, 23, 3, groups=32, width_per_group=16),
    _bottleneck("resnext101_32x32d", 3, 4, 23, 3, groups=32, width_per_group=32),
    _imagenet("seresnet18", "basic", 2, 2, 2, 2, se_reduction=16),
    _imagenet("seresnet34", "basic", 3, 4, 6, 3, se_reduction=16),
    _bottleneck("seresnet50", 3, 4, 6, 3, se_reduction=16),
    _bottleneck("seresnet101", 3, 4, 23, 3, se_reduction=16),
    _bottleneck("seresnet152", 3, 8, 36, 3, se_reduction=16),
    _bottleneck("seresnet152d", 3, 8, 36, 3, se_reduction=16, **_D),
    _bottleneck("seresnext26d_32x4d", 2, 2, 2, 2, groups=32, width_per_group=4, se_reduction=16, **_D),
    _bottleneck("seresnext50_32x4d", 3, 4, 6, 3, groups=32, width_per_group=4, se_reduction=16),
    _bottleneck("seresnext101_32x4d", 3, 4, 23, 3, groups=32, width_per_group=4, se_reduction=16),
    _bottleneck("seresnext101_32x8d", 3, 4, 23, 3, groups=32, width_per_group=8, se_reduction=16),
    _bottleneck("seresnext101_64x4d", 3, 4, 23, 3, groups=64, width_per_group=4, se_reduction=16),
    _bottleneck("seresnext101d_32x8d", 3, 4, 23, 3, groups=32, width_per_group=8, se_reduction=16, **_D),
    # keras.applications V2
    _bottleneck("keras_resnet50v2", 3, 4, 6, 3, **_V2_OF_KERAS),
    _bottleneck("keras_resnet101v2", 3, 4, 23, 3, **_V2_OF_KERAS),
    _bottleneck("keras_resnet152v2", 3, 8, 36, 3, **_V2_OF_KERAS),
)

SPECS: dict[str, Spec] = {row.name: row for row in _ROWS}
