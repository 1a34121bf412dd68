"""Defines the flags --refine and --scales, the improvements of detectors in testing."""

from absl import flags

from keras_resnet.errors import ConfigError

LARGEST_SCALE = 4096


def define_improvement_flags(options: flags.FlagValues, scales: str) -> None:
    """Defines the flags; `scales` describes --scales."""
    flags.DEFINE_boolean("refine", False, "Detectors: box refinement and voting (He et al. 2015).", flag_values=options)
    flags.DEFINE_list("scales", [], scales, flag_values=options)


def scales_of(options) -> tuple[int, ...]:
    """Returns the sizes of --scales in pixels.

    Raises:
        ConfigError: one of them is not a whole number of 8 or more, or is too large for any memory.
    """
    if not all(scale.isdecimal() and 8 <= int(scale) <= LARGEST_SCALE for scale in options.scales):
        given = ",".join(options.scales)
        raise ConfigError(f"--scales={given}: expected whole numbers >= 8 and <= {LARGEST_SCALE}, such as 224,256,384")
    return tuple(map(int, options.scales))
