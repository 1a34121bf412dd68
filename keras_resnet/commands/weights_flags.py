"""Provides the flags of commands that load weights: preprocessing that the weights do not specify, and `--offline`."""

import os
from typing import get_args

from absl import flags

from keras_resnet.description import Interpolation
from keras_resnet.errors import ConfigError, suggest

_WHEN = "if the weights do not define it, or to override it."


def define_weights_flags(options: flags.FlagValues) -> None:
    """Defines the flags that `preprocessing_flags` reads, and `--offline`."""
    flags.DEFINE_integer(
        "image_size", None, f"Input height and width in pixels, {_WHEN}", lower_bound=1, flag_values=options
    )
    flags.DEFINE_float(
        "crop_pct", None, f"The shorter side is resized to image_size / crop_pct, {_WHEN}", flag_values=options
    )
    flags.DEFINE_string("interpolation", None, f"Resizing: bilinear or bicubic, {_WHEN}", flag_values=options)
    flags.DEFINE_list("mean", None, f"Mean of images in [0, 255] per channel, {_WHEN}", flag_values=options)
    flags.DEFINE_list("std", None, f"Standard deviation in [0, 255] per channel, {_WHEN}", flag_values=options)
    define_offline(options)


def define_offline(options: flags.FlagValues) -> None:
    """Defines `--offline`."""
    flags.DEFINE_boolean("offline", False, "Download nothing: use cached weights.", flag_values=options)


def apply_offline(options: flags.FlagValues) -> None:
    """Sets the environment variable for `--offline`."""
    if options.offline:
        os.environ["KERAS_RESNET_OFFLINE"] = "1"


def preprocessing_flags(options: flags.FlagValues) -> dict:
    """Returns the given flags as arguments of `load_pretrained`, and applies `--offline`.

    Raises:
        ConfigError: a value is not allowed.
    """
    apply_offline(options)
    if options.crop_pct is not None and not 0 < options.crop_pct <= 1:
        raise ConfigError(f"--crop_pct={options.crop_pct:g}: expected a number above 0 and at most 1")
    known = get_args(Interpolation)
    if options.interpolation is not None and options.interpolation not in known:
        raise ConfigError(f"--interpolation={options.interpolation}: {suggest(options.interpolation, known)}")
    given = {name: getattr(options, name) for name in ("image_size", "crop_pct", "interpolation")}
    given |= {"mean": _numbers("--mean", options.mean), "std": _numbers("--std", options.std)}
    return {name: value for name, value in given.items() if value is not None}


def refuse(given: dict, why: str) -> None:
    """Raises a `ConfigError` that names the first of the given flags, if any."""
    for name in given:
        raise ConfigError(f"--{name}: {why}")


def _numbers(flag, values):
    try:
        return values and tuple(map(float, values))
    except ValueError:
        raise ConfigError(f"{flag}={','.join(values)}: expected numbers, such as 123.675,116.28,103.53") from None
