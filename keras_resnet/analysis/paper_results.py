"""Provides the published errors of this family's networks, in percent, with their sources."""

from dataclasses import dataclass, replace

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
