"""Every network of the family as a row of data. Imports only the standard library."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

Shortcut = Literal["A", "B", "C"]
Version = Literal["1", "1.5", "2"]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What distinguishes one network of the family from another.

    Attributes:
        name: the row's name, for example "resnet50".
        stem: "imagenet", 7x7 convolution of stride 2 and 3x3 max pooling; "cifar", one 3x3 convolution.
        block: "basic", two 3x3 convolutions; "bottleneck", 1x1, 3x3, and a 1x1 four times as wide.
        depths: blocks per stage.
        widths: filters of the 3x3 convolutions, per stage.
        merge: "add", y = F(x) + W_s x; "plain", y = F(x).
        shortcut: "A", identity with zero channels where the width grows; "B", projection where the shape
            changes; "C", projection everywhere (He et al. 2015, section 4.1).
        order: "post", convolution before normalization and ReLU (He et al. 2015); "pre", after them
            (He et al. 2016).
        stride_on: which convolution of a bottleneck has the stride: "1x1" (the paper) or "3x3"
            (fb.resnet.torch, torchvision; "version 1.5").

    Raises:
        ValueError: the fields contradict each other; the message names them.
    """

    name: str
    stem: Literal["imagenet", "cifar"]
    block: Literal["basic", "bottleneck"]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    merge: Literal["add", "plain"] = "add"
    shortcut: Shortcut = "B"
    order: Literal["post", "pre"] = "post"
    stride_on: Literal["1x1", "3x3"] = "1x1"

    def __post_init__(self):
        if len(self.depths) != len(self.widths) or not self.depths:
            raise ValueError(
                f"{self.name}: depths and widths must be one per stage, got depths={self.depths} widths={self.widths}"
            )
        if min(self.depths + self.widths) < 1:
            raise ValueError(
                f"{self.name}: depths and widths must be 1 or more, got depths={self.depths} widths={self.widths}"
            )
        for field, kind in (
            ("shortcut", Shortcut),
            ("order", Literal["post", "pre"]),
            ("merge", Literal["add", "plain"]),
        ):
            if getattr(self, field) not in get_args(kind):
                raise ValueError(f"{self.name}: {field} must be one of {get_args(kind)}, got {getattr(self, field)!r}")

    @property
    def layers(self) -> int:
        """Weighted layers as the papers count them: stem, convolutions of F, classifier."""
        return 2 + sum(self.depths) * (2 if self.block == "basic" else 3)

    @property
    def image_size(self) -> int:
        """Height and width in pixels of the images that the paper trains on."""
        return 224 if self.stem == "imagenet" else 32

    @property
    def classes(self) -> int:
        """Classes of the data set that the row is named after: ImageNet's 1000 or CIFAR-10's 10."""
        return 1000 if self.stem == "imagenet" else 10

    @property
    def version(self) -> Version:
        """ "1", the paper of 2015; "1.5", stride on the 3x3 convolution; "2", pre-activation."""
        if self.order == "pre":
            return "2"
        return "1.5" if self.stride_on == "3x3" else "1"


VERSIONS: dict[Version, dict] = {
    "1": {"order": "post", "stride_on": "1x1"},
    "1.5": {"order": "post", "stride_on": "3x3"},
    "2": {"order": "pre", "stride_on": "3x3"},
}


def variant(spec: Spec, *, version: Version | None = None, shortcut: Shortcut | None = None) -> Spec:
    """Derives a row from `spec`; None keeps what the row has.

    Raises:
        ValueError: the version or the shortcut is unknown, or the net is plain and has no shortcut.
    """
    changes: dict = {}
    if version is not None:
        if version not in VERSIONS:
            raise ValueError(f"version must be one of {tuple(VERSIONS)}, got {version!r}")
        changes |= VERSIONS[version]
    if shortcut is not None:
        if spec.merge == "plain":
            raise ValueError(f"{spec.name} has no shortcuts, got shortcut={shortcut!r}")
        changes["shortcut"] = shortcut
    return replace(spec, **changes)


def _imagenet(name, block, *depths, **axes) -> Spec:
    return Spec(name=name, stem="imagenet", block=block, depths=depths, widths=(64, 128, 256, 512), **axes)


def _cifar(name, depth, **axes) -> Spec:
    n = (depth - 2) // 6
    axes = {"shortcut": "A"} | axes
    return Spec(name=name, stem="cifar", block="basic", depths=(n, n, n), widths=(16, 32, 64), **axes)


CIFAR_DEPTHS = (20, 32, 44, 56, 110)  # He et al. 2015, section 4.2

_ROWS = (
    # He et al. 2015, table 1
    _imagenet("resnet18", "basic", 2, 2, 2, 2),
    _imagenet("resnet34", "basic", 3, 4, 6, 3),
    _imagenet("resnet50", "bottleneck", 3, 4, 6, 3),
    _imagenet("resnet101", "bottleneck", 3, 4, 23, 3),
    _imagenet("resnet152", "bottleneck", 3, 8, 36, 3),
    _imagenet("plain18", "basic", 2, 2, 2, 2, merge="plain"),
    _imagenet("plain34", "basic", 3, 4, 6, 3, merge="plain"),
    # He et al. 2015, table 6 and figure 6
    *(_cifar(f"cifar_resnet{depth}", depth) for depth in CIFAR_DEPTHS),
    *(_cifar(f"cifar_plain{depth}", depth, merge="plain") for depth in CIFAR_DEPTHS),
)

SPECS: dict[str, Spec] = {row.name: row for row in _ROWS}
