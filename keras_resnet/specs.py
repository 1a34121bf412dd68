"""Provides `Spec` and `SPECS`, the architectures of all networks as data. Imports only the standard library.

The type groups the options of a network: `Spec` draws it, `LayerOptions` says how its layers are made, and
`Implementation` has the details in which implementations of the same drawing differ. All lists of options are derived
from these types.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from keras_resnet.errors import suggest
from keras_resnet.options import Implementation, LayerOptions, Options, Shortcut, Version, option
from keras_resnet.renamed import SPEC_FIELDS, upgrade


@dataclass(frozen=True, kw_only=True)
class Spec(Options):
    """Defines the architecture of one network. `CONTRIBUTING.md` shows how to add an entry to `SPECS`.

    Attributes:
        name: the key in `SPECS`.
        stem: "imagenet", a 7x7 convolution and pooling; "deep", three 3x3 convolutions and pooling (ResNet-C); "cifar",
            a 3x3 convolution.
        block: "basic", two 3x3 convolutions; "bottleneck", 1x1, 3x3, 1x1 four times as wide; "single", a 3x3
            convolution (Highway).
        depths: number of blocks of each stage.
        widths: number of filters of the 3x3 convolutions of each stage.
        skip: "add", y = F + W_s x; "none", y = F; "gate", y = T F + (1 - T) W_s x (Highway).
        shortcut: "A", zero channels; "B", projection where the shape changes; "C", projection everywhere.
        preactivation: normalization and ReLU before each convolution (He et al. 2016), not after it (2015).
        groups: groups of a bottleneck's 3x3 convolution (ResNeXt: 32).
        width_per_group: filters per group where `widths` is 64 (ResNeXt: 4; Wide ResNet: 128).
        avg_down: strided projections are average pooling and a 1x1 convolution of stride 1 (ResNet-D).
        se_reduction: squeeze-and-excitation with channels / se_reduction features (SENet: 16); None: without.
        layer: how layers are made.
        implementation: details in which implementations of the network differ.

    Raises:
        ValueError: a field has a value that is not allowed, or the fields contradict each other.
    """

    name: str
    stem: Literal["imagenet", "deep", "cifar"]
    block: Literal["basic", "bottleneck", "single"]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    # Options that He et al. 2015 and 2016 compare
    skip: Literal["add", "none", "gate"] = "add"
    shortcut: Shortcut = option("B", varies=True)
    preactivation: bool = option(False, varies=True)
    # Options of later papers
    groups: int = 1
    width_per_group: int = 64
    avg_down: bool = option(False, in_weights=False)
    se_reduction: int | None = None
    layer: LayerOptions = LayerOptions()
    implementation: Implementation = Implementation()

    def __post_init__(self):
        super().__post_init__()
        if len(self.depths) != len(self.widths) or not self.depths or min(self.depths + self.widths) < 1:
            given = f"depths={self.depths} widths={self.widths}"
            raise ValueError(f"{self.name}: depths and widths must be one per stage, each 1 or more, got {given}")
        if self.block != "bottleneck" and (self.groups, self.width_per_group) != (1, 64):
            raise ValueError(
                f"{self.name}: groups and width_per_group are for bottleneck blocks, got block={self.block!r}"
            )

    @classmethod
    def of(cls, **options) -> "Spec":
        """Creates a network from options of all groups by name: `Spec.of(name="slim", ..., padding="same")`."""
        return cls(**_grouped(options, {group: kind() for group, kind in _GROUPS.items()}))

    @classmethod
    def from_json(cls, values: dict) -> "Spec":
        """Creates a network from the values of `to_json`, also those of earlier versions.

        Raises:
            ValueError: a value is not allowed, or belongs to a network that this version does not have.
        """
        values = upgrade(values, SPEC_FIELDS)
        block = values.get("block")
        for name, (usual, highway) in _FORMER_FIELDS.items():
            expected = highway if block == "single" else usual
            if values.get(name, expected) != expected:
                raise ValueError(f"{name} must be {expected!r} with block={block!r}, got {values[name]!r}")
        former = {*_FORMER_FIELDS, *TRAINING_ARGUMENTS}
        values = {name: value for name, value in values.items() if name not in former}
        return cls.of(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})

    def to_json(self) -> dict[str, Any]:
        """Returns all options by name, without groups, as plain values."""
        values = {name: self.option(name) for name in ("name", *OPTIONS)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def option(self, name: str) -> Any:
        """Returns the value of an option of any group, or of "version"."""
        return getattr(getattr(self, _GROUP_OF[name]) if name in _GROUP_OF else self, name)

    @property
    def layers(self) -> int:
        """Returns the number of weighted layers as the papers count them: stem, convolutions of F, classifier."""
        transitions = len(self.depths) if self.block == "single" else 0  # and the last 1x1 convolution
        return 2 + sum(self.depths) * {"basic": 2, "bottleneck": 3, "single": 1}[self.block] + transitions

    @property
    def dropout(self) -> float:
        """Returns the network's own dropout rate, by default that of `build`: 0.2 for the literal Highway network."""
        return 0.2 if self.block == "single" else 0.0

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
        return "1.5" if self.implementation.stride_in == "3x3" else "1"


_GROUPS: dict[str, type[Options]] = {"layer": LayerOptions, "implementation": Implementation}
_GROUP_OF = {field.name: group for group, kind in _GROUPS.items() for field in fields(kind)}
_KINDS: tuple[type[Options], ...] = (Spec, *_GROUPS.values())
# {option: its field}
OPTIONS = {field.name: field for kind in _KINDS for field in fields(kind) if field.name not in ("name", *_GROUPS)}
# Options that the name or the shape of a tensor shows. The others cannot be inferred from weights.
IN_WEIGHTS = tuple(name for name, field in OPTIONS.items() if field.metadata.get("in_weights", True))
NOT_IN_WEIGHTS = tuple(name for name in OPTIONS if name not in IN_WEIGHTS)
# Options in which published weights of one network differ. The weights determine them.
WEIGHT_OPTIONS = tuple(
    name for name, field in OPTIONS.items() if field.metadata.get("varies") or _GROUP_OF.get(name) == "implementation"
)
# Options in which networks differ: their drawing, and what else their tensors show.
NETWORK_OPTIONS = tuple(
    name for name in OPTIONS if name not in WEIGHT_OPTIONS and (name not in _GROUP_OF or name in IN_WEIGHTS)
)
# Arguments of `build` that belong to a recipe. Until version 0.2 they were fields of `Spec`.
TRAINING_ARGUMENTS = ("drop_path_rate", "zero_init_last_gamma", "dropout")
# Fields of version 0.1: value of residual networks, value of the literal Highway network.
_FORMER_FIELDS = {"transition": ("stride", "pool"), "last_width": (None, 100)}

VERSIONS: dict[str, dict] = {
    "1": {"preactivation": False, "stride_in": "1x1"},
    "1.5": {"preactivation": False, "stride_in": "3x3"},
    "2": {"preactivation": True, "stride_in": "3x3"},
}


def variant(spec: Spec, *, version: Version | float | None = None, **options) -> Spec:
    """Returns a copy of `spec` with other options: `variant(spec, version="1.5", shortcut="C", padding="same")`.

    Args:
        spec: an entry of `SPECS`.
        version: "1", "1.5" or "2", also as a number.
        **options: options of any group by name, or `name`; None keeps the value of `spec`.

    Raises:
        ValueError: an option does not exist, a value is not allowed, or a shortcut is given for a plain network.
    """
    if not isinstance(spec, Spec):
        raise ValueError(f'spec must be a Spec, such as SPECS["resnet50"], got {spec!r}')
    number = isinstance(version, int | float) and not isinstance(version, bool)
    key = f"{version:g}" if number else version
    if key is not None and key not in VERSIONS:
        raise ValueError(f"version must be one of {tuple(VERSIONS)}, got {version!r}")
    for name in options:
        if name in SPEC_FIELDS:
            new = SPEC_FIELDS[name].new
            where = ", an argument of keras_resnet.build" if new in TRAINING_ARGUMENTS else ""
            raise ValueError(f"{name} was renamed in version 0.2: use {new}{where}")
        if name in TRAINING_ARGUMENTS:
            raise ValueError(f"{name} is an argument of keras_resnet.build, not an option of a network")
    # None keeps the value of an option; other names stay, so that they are refused.
    options = {name: value for name, value in options.items() if value is not None or name not in ("name", *OPTIONS)}
    if spec.skip == "none" and "shortcut" in options:
        raise ValueError(f"{spec.name} has no shortcuts, got shortcut={options['shortcut']!r}")
    options = (VERSIONS[key] if key else {}) | options
    return replace(spec, **_grouped(options, {group: getattr(spec, group) for group in _GROUPS}))


def _grouped(options, groups):
    """Returns the fields of a `Spec`: options by name, with those of `groups` in copies of these."""
    changed: dict[str, Any] = dict(groups)
    for name, value in options.items():
        if name not in ("name", *OPTIONS):
            raise ValueError(f"unknown option {name!r}; {suggest(name, OPTIONS)}")
        if name in _GROUP_OF:
            changed[_GROUP_OF[name]] = replace(changed[_GROUP_OF[name]], **{name: value})
        else:
            changed[name] = value
    return changed


def effective(spec: Spec) -> Spec:
    """Returns `spec` with default values for the options that have no effect on it."""
    moot: dict[str, Any] = {
        name: field.default
        for name, field in OPTIONS.items()
        if field.metadata.get("when") and not field.metadata["when"](spec)
    }
    return variant(spec, **moot)


def first_different_option(one: Spec, other: Spec, options: tuple[str, ...]) -> str | None:
    """Returns the first of `options` in which two networks differ, None if they are equal."""
    return next((name for name in options if one.option(name) != other.option(name)), None)


def check_training_arguments(
    spec: Spec, *, drop_path_rate: float = 0.0, zero_init_last_gamma: bool = False, dropout: float | None = None
) -> None:
    """Checks the arguments of `build` that belong to a recipe.

    Raises:
        ValueError: a rate is not in [0, 1), or the network has no place for what is asked.
    """
    residual = spec.skip == "add" and spec.block != "single"
    ends_normalized = residual and not spec.preactivation and spec.layer.normalization == "batch"
    if zero_init_last_gamma and not ends_normalized:
        raise ValueError(f"{spec.name}: zero_init_last_gamma needs a normalization right before an addition")
    if not 0 <= drop_path_rate < 1 or (drop_path_rate and not residual):
        raise ValueError(f"{spec.name}: drop_path_rate must be in [0, 1) and needs shortcuts, got {drop_path_rate}")
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"{spec.name}: dropout must be in [0, 1), got {dropout}")


def _imagenet(name, block, *depths, **options) -> Spec:
    return Spec.of(name=name, block=block, depths=depths, widths=(64, 128, 256, 512), **{"stem": "imagenet"} | options)


def _bottleneck(name, *depths, **options) -> Spec:
    return _imagenet(name, "bottleneck", *depths, stride_in="3x3", **options)


def _cifar(name, depth, block="basic", **options) -> Spec:
    n = (depth - 2) // (9 if block == "bottleneck" else 6)
    return Spec.of(
        name=name, stem="cifar", block=block, depths=(n,) * 3, widths=(16, 32, 64), **{"shortcut": "A"} | options
    )


def _scene(name, **options) -> Spec:
    return Spec.of(name=name, stem="imagenet", block="basic", depths=(2, 2, 2), widths=(24, 48, 96), **options)


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
    *(_cifar(f"cifar_resnet{depth}", depth) for depth in (8, *CIFAR_DEPTHS, 1202)),  # 8: n = 1, for a first try
    *(_cifar(f"cifar_plain{depth}", depth, skip="none") for depth in (*CIFAR_DEPTHS, 1202)),
    # ResNet-32 with bottleneck instead of basic blocks, like ResNet-50 for ResNet-34 (He et al. 2015, section 4.1)
    _cifar("cifar_bottleneck47", 47, "bottleneck"),
    # Small, on images of 128 pixels: trunks of the detector in configs/detection/scenes.yaml
    _scene("scene_resnet14"),
    _scene("scene_plain14", skip="none"),
    # He et al. 2016, table 3
    *(
        _cifar(f"cifar_preresnet{depth}", depth, "bottleneck", preactivation=True, shortcut="B")
        for depth in (164, 1001)
    ),
    # Srivastava et al. 2015: its gates in the CIFAR networks above, and its own network of 19 layers
    *(_cifar(f"cifar_highway{depth}", depth, skip="gate") for depth in CIFAR_DEPTHS),
    Spec.of(
        name="highway19",
        stem="cifar",
        block="single",
        depths=(4, 5, 5),
        widths=(32, 80, 128),
        skip="gate",
        normalization="none",
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
