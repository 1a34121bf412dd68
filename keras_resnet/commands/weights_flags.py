"""Provides the flags of commands that load weights: preprocessing that the weights do not specify, and `--offline`."""

import os
from typing import get_args

from absl import flags

from keras_resnet.description import ImageSize, Interpolation
from keras_resnet.errors import ConfigError, suggest

_WHEN = "if the weights do not define it, or to override it."


def define_weights_flags(options: flags.FlagValues) -> None:
    """Defines the flags that `preprocessing_flags` reads, and `--offline`."""
    define_image_size(options, f"Input height and width in pixels, such as 224 or 128x256, {_WHEN}")
    flags.DEFINE_float(
        "crop_pct", None, f"The shorter side is resized to image_size / crop_pct, {_WHEN}", flag_values=options
    )
    flags.DEFINE_string("interpolation", None, f"Resizing: bilinear or bicubic, {_WHEN}", flag_values=options)
    flags.DEFINE_list("mean", None, f"Mean of images in [0, 255] per channel, {_WHEN}", flag_values=options)
    flags.DEFINE_list("std", None, f"Standard deviation in [0, 255] per channel, {_WHEN}", flag_values=options)
    define_offline(options)


def define_image_size(options: flags.FlagValues, description: str) -> None:
    """Defines `--image_size`, which `image_size_of` reads."""
    flags.DEFINE_string("image_size", None, description, flag_values=options)


def image_size_of(options: flags.FlagValues, least: int = 1) -> ImageSize | None:
    """Returns `--image_size`: 224, or (128, 256) of "128x256"; None if it is not given.

    Raises:
        ConfigError: it is not one or two numbers of pixels of at least `least`.
    """
    if options.image_size is None:
        return None
    sides = options.image_size.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) >= least for side in sides):
        expected = f"expected a number of pixels >= {least}, or HEIGHTxWIDTH"
        raise ConfigError(f"--image_size={options.image_size}: {expected}")
    height, width = int(sides[0]), int(sides[-1])
    return height if height == width else (height, width)


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
    given = {name: getattr(options, name) for name in ("crop_pct", "interpolation")}
    given |= {"image_size": image_size_of(options)}
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
