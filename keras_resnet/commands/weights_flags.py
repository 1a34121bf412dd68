"""Flags of the commands that read weights: how images are prepared where the weights do not say it; `--offline`."""

import os
from typing import get_args

from absl import flags

from keras_resnet.description import Interpolation
from keras_resnet.errors import ConfigError, suggest

_SAID = "where the weights do not say it, or to change it."
IMAGE_SIZE = flags.DEFINE_integer("image_size", None, f"Height and width of prepared images, {_SAID}", lower_bound=1)
CROP_PCT = flags.DEFINE_float("crop_pct", None, f"The shorter side is resized to image_size / crop_pct, {_SAID}")
INTERPOLATION = flags.DEFINE_string("interpolation", None, f"Of resizing, bilinear or bicubic, {_SAID}")
MEAN = flags.DEFINE_list("mean", None, f"Of images in [0, 255], per channel, {_SAID}")
STD = flags.DEFINE_list("std", None, f"Of images in [0, 255], per channel, {_SAID}")
OFFLINE = flags.DEFINE_boolean("offline", False, "Fetch nothing: use downloaded weights as they are kept here.")


def preprocessing() -> dict:
    """The flags that are given, as arguments of `load_pretrained`; sets what `--offline` sets.

    Raises:
        ConfigError: a value cannot be meant.
    """
    if OFFLINE.value:
        os.environ["KERAS_RESNET_OFFLINE"] = "1"
    if CROP_PCT.value is not None and not 0 < CROP_PCT.value <= 1:
        raise ConfigError(f"--crop_pct={CROP_PCT.value:g}: expected a number above 0 and at most 1")
    known = get_args(Interpolation)
    if INTERPOLATION.value is not None and INTERPOLATION.value not in known:
        raise ConfigError(f"--interpolation={INTERPOLATION.value}: {suggest(INTERPOLATION.value, known)}")
    given = {"image_size": IMAGE_SIZE.value, "crop_pct": CROP_PCT.value, "interpolation": INTERPOLATION.value}
    given |= {"mean": _numbers("--mean", MEAN.value), "std": _numbers("--std", STD.value)}
    return {name: value for name, value in given.items() if value is not None}


def refuse(given: dict, why: str) -> None:
    """Raises a `ConfigError` that names the first of the flags, if there is one."""
    for name in given:
        raise ConfigError(f"--{name}: {why}")


def _numbers(flag, values):
    try:
        return values and tuple(map(float, values))
    except ValueError:
        raise ConfigError(f"{flag}={','.join(values)}: expected numbers, such as 123.675,116.28,103.53") from None
