"""Provides the published errors (percent) and costs of this family's networks, with their sources."""

from dataclasses import dataclass, replace
from typing import Literal

from keras_resnet.config import Config, Model
from keras_resnet.specs import SPECS

_HE = "He et al. 2015"
_HE_SITE = "github.com/KaimingHe/deep-residual-networks"
_FB = "github.com/facebook/fb.resnet.torch"


@dataclass(frozen=True)
class Published:
    """Attributes: error and top5_error in percent (None if not given); protocol, the test method; source."""

    error: float
    top5_error: float | None
    protocol: str
    source: str


def _cifar(error, source):
    return Published(error, None, "single view", source)


PUBLISHED: dict[tuple[str, str], tuple[Published, ...]] = {
    **{
        (f"cifar_resnet{depth}", "cifar10"): (_cifar(error, f"{_HE}, table 6"),)
        for depth, error in {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43, 1202: 7.93}.items()
    },
    ("highway19", "cifar10"): (_cifar(7.54, f"{_HE}, table 6, after Srivastava et al. 2015"),),
    ("cifar_preresnet164", "cifar10"): (_cifar(5.46, "He et al. 2016, table 2"),),
    ("cifar_preresnet1001", "cifar10"): (_cifar(4.92, "He et al. 2016, table 3"),),
    ("cifar_preresnet1001", "cifar100"): (_cifar(22.71, "He et al. 2016, table 3"),),
    ("plain18", "imagenet"): (Published(27.94, None, "10-crop", f"{_HE}, table 2"),),
    ("plain34", "imagenet"): (Published(28.54, 10.02, "10-crop", f"{_HE}, table 3"),),
    ("resnet18", "imagenet"): (Published(30.43, 10.76, "single crop", _FB),),
    ("resnet18:A", "imagenet"): (Published(27.88, None, "10-crop", f"{_HE}, table 2"),),
    ("resnet34:A", "imagenet"): (Published(25.03, 7.76, "10-crop", f"{_HE}, table 3"),),
    ("resnet34", "imagenet"): (
        Published(26.73, 8.74, "single crop", _FB),
        Published(24.52, 7.46, "10-crop", f"{_HE}, table 3 (shortcut B)"),
        Published(21.84, 5.71, "multi-scale", f"{_HE}, table 4 (shortcut B)"),
    ),
    ("resnet50", "imagenet"): (
        Published(24.7, 7.8, "single crop", _HE_SITE),
        Published(22.85, 6.71, "10-crop", f"{_HE}, table 3"),
        Published(20.74, 5.25, "multi-scale", f"{_HE}, table 4"),
    ),
    ("resnet101", "imagenet"): (
        Published(23.6, 7.1, "single crop", _HE_SITE),
        Published(21.75, 6.05, "10-crop", f"{_HE}, table 3"),
        Published(19.87, 4.60, "multi-scale", f"{_HE}, table 4"),
    ),
    ("resnet152", "imagenet"): (
        Published(23.0, 6.7, "single crop", _HE_SITE),
        Published(21.43, 5.71, "10-crop", f"{_HE}, table 3"),
        Published(19.38, 4.49, "multi-scale", f"{_HE}, table 4"),
    ),
}


@dataclass(frozen=True)
class PublishedCost:
    """A published cost of one image through a network.

    Attributes:
        network: a name of `SPECS`, or VGG's.
        quantity: "parameters", or "macs" (the papers' "FLOPs").
        value: parameters in 1e6, MACs in 1e9.
        digits: number of decimals that are given.
        source: paper and table.
        tolerance: allowed relative difference where the published value counts other things than `complexity`; None
            where it differs by less than its last digit.
    """

    network: str
    quantity: Literal["parameters", "macs"]
    value: float
    digits: int
    source: str
    tolerance: float | None = None


COSTS: tuple[PublishedCost, ...] = (
    PublishedCost("cifar_resnet20", "parameters", 0.27, 2, f"{_HE}, table 6"),
    PublishedCost("cifar_resnet32", "parameters", 0.46, 2, f"{_HE}, table 6"),
    PublishedCost("cifar_resnet44", "parameters", 0.66, 2, f"{_HE}, table 6"),
    PublishedCost("cifar_resnet56", "parameters", 0.85, 2, f"{_HE}, table 6"),
    PublishedCost("cifar_resnet110", "parameters", 1.7, 1, f"{_HE}, table 6"),
    PublishedCost("cifar_resnet1202", "parameters", 19.4, 1, f"{_HE}, table 6"),
    PublishedCost("highway19", "parameters", 2.3, 1, f"{_HE}, table 6, after Srivastava et al. 2015"),
    PublishedCost("cifar_preresnet164", "parameters", 1.7, 1, "He et al. 2016, table 2"),
    PublishedCost("cifar_preresnet1001", "parameters", 10.2, 1, "He et al. 2016, table 3", tolerance=0.02),
    PublishedCost("resnet18", "macs", 1.8, 1, f"{_HE}, table 1"),
    PublishedCost("resnet34", "macs", 3.6, 1, f"{_HE}, table 1"),
    PublishedCost("resnet50", "macs", 3.8, 1, f"{_HE}, table 1"),
    PublishedCost("resnet101", "macs", 7.6, 1, f"{_HE}, table 1"),
    PublishedCost("resnet152", "macs", 11.3, 1, f"{_HE}, table 1"),
    PublishedCost("plain18", "macs", 1.8, 1, f"{_HE}, table 1"),
    PublishedCost("plain34", "macs", 3.6, 1, f"{_HE}, table 1"),
    PublishedCost("vgg16", "macs", 15.3, 1, f"{_HE}, section 3.3", tolerance=0.02),
    PublishedCost("vgg19", "macs", 19.6, 1, f"{_HE}, section 3.3", tolerance=0.02),
)


_TABLE_13, _TABLE_14 = f"ImageNet validation ({_HE}, table 13)", f"ImageNet test ({_HE}, table 14)"

# Localization errors in percent: with the true class where it says so, else of the best of five (class, box) pairs.
LOCALIZATION: dict[str, tuple[float, str]] = {
    "VGG-16, true class, one crop": (33.1, _TABLE_13),
    "RPN, true class, one crop": (13.3, _TABLE_13),
    "RPN, true class, dense": (11.7, _TABLE_13),
    "RPN, predicted classes, dense": (14.4, f"{_TABLE_13}; the classes alone 4.6"),
    "RPN and R-CNN, dense": (10.6, _TABLE_13),
    "ensemble": (8.9, f"{_TABLE_13}; ImageNet test 9.0 (table 14)"),
    "OverFeat": (29.9, f"{_TABLE_14}; validation 30.0"),
    "GoogLeNet": (26.7, _TABLE_14),
    "VGG": (25.3, f"{_TABLE_14}; validation 26.9"),
}

_COCO_VAL = f"COCO validation ({_HE}, table 8)"
_COCO_VAL_9, _TEST_DEV = f"COCO validation ({_HE}, table 9)", f"COCO test-dev, trained on trainval ({_HE}, table 9)"
_VOC_07, _VOC_12 = f"VOC 2007 test ({_HE}, table ", f"VOC 2012 test ({_HE}, table "
_DET = f"ImageNet DET ({_HE}, table 12)"


@dataclass(frozen=True)
class PublishedDetector:
    """Attributes: ap50 and ap in percent (None if not given), at an IoU of 0.5 and the mean of 0.5 to 0.95; source."""

    ap50: float | None
    ap: float | None
    source: str


DETECTION: dict[str, PublishedDetector] = {
    "VGG-16": PublishedDetector(41.5, 21.2, _COCO_VAL),
    "ResNet-101": PublishedDetector(48.4, 27.2, _COCO_VAL),
    "+ box refinement": PublishedDetector(49.9, 29.9, _COCO_VAL_9),
    "+ context": PublishedDetector(51.1, 30.0, _COCO_VAL_9),
    "+ multi-scale testing": PublishedDetector(53.8, 32.5, _COCO_VAL_9),
    "refinement and context": PublishedDetector(53.3, 32.2, _TEST_DEV),
    "all three": PublishedDetector(55.7, 34.9, _TEST_DEV),
    "ensemble of three": PublishedDetector(59.0, 37.4, _TEST_DEV),
    "VGG-16, VOC 2007": PublishedDetector(73.2, None, f"{_VOC_07}7), trained on 07+12"),
    "ResNet-101, VOC 2007": PublishedDetector(76.4, None, f"{_VOC_07}7), trained on 07+12"),
    "all three, VOC 2007": PublishedDetector(85.6, None, f"{_VOC_07}10), trained on COCO and 07+12"),
    "VGG-16, VOC 2012": PublishedDetector(70.4, None, f"{_VOC_12}7), trained on 07++12"),
    "ResNet-101, VOC 2012": PublishedDetector(73.8, None, f"{_VOC_12}7), trained on 07++12"),
    "all three, VOC 2012": PublishedDetector(83.8, None, f"{_VOC_12}11), trained on COCO and 07++12"),
    "one ResNet-101, DET": PublishedDetector(58.8, None, f"{_DET}; val2 60.5"),
    "ensemble, DET": PublishedDetector(62.1, None, f"{_DET}; val2 63.6"),
    "GoogLeNet, DET": PublishedDetector(43.9, None, f"{_DET}, ILSVRC 2014"),
    "Detectron2, ResNet-50, C4": PublishedDetector(None, 35.7, "COCO val2017 (Detectron2, 1x schedule)"),
    "Detectron2, ResNet-50, FPN": PublishedDetector(None, 37.9, "COCO val2017 (Detectron2, 1x schedule)"),
}


def ten_crop_error(name: str) -> float:
    """Returns the published 10-crop top-1 error of a network on ImageNet; "resnet34:A" is ResNet-34 with option A."""
    return next(each.error for each in PUBLISHED[name, "imagenet"] if each.protocol == "10-crop")


def published(config: Config) -> tuple[Published, ...]:
    """Returns the published results for a run's network and data; empty if this variant of the network has none."""
    model, row = config.model, SPECS[config.model.name]
    name = model.name
    if model.spec.shortcut != row.shortcut:
        name += f":{model.spec.shortcut}"
    trained_as_usual = model.training_arguments == Model(name=model.name).training_arguments
    if replace(model.spec, shortcut=row.shortcut) != row or not trained_as_usual:
        return ()
    return PUBLISHED.get((name, _data_set(config.data)), ())


def _data_set(data):
    kind, _, name = data.name.partition(":")
    if kind == "tfds":
        return "imagenet" if name.startswith("imagenet2012") else name.split("/")[0].split(":")[0]
    return "imagenet" if kind == "tfrecord" and data.classes == 1000 else data.name
