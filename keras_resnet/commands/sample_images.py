"""Writes images of a data set as PNG files, and names them by split, index and, if known, class.

keras-resnet sample-images digits --split=test --count=5 --output=exports/digits-examples
"""

import os

from absl import flags

from keras_resnet.commands.verify_data import data_settings
from keras_resnet.errors import ConfigError, DataError


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("split", "test", "train, validation or test.", flag_values=options)
    flags.DEFINE_integer("count", 5, "Number of images, from all classes in turn.", lower_bound=1, flag_values=options)
    flags.DEFINE_string("output", None, "The folder to write into.", flag_values=options)
    flags.DEFINE_multi_string(
        "set", [], "data.key=value or task=NAME, as for training; repeat for more.", flag_values=options
    )


def main(options, arguments):
    """Writes the first images of each class, alternating between classes."""
    if len(arguments) != 1:
        raise ConfigError("expected one data set, for example: keras-resnet sample-images digits --output=DIR")
    if not options.output:
        raise ConfigError("--output is missing: the folder to write into")
    data = data_settings(arguments[0], options.set)
    import tensorflow as tf

    from keras_resnet.data.arrays import visible
    from keras_resnet.data.decode import decode
    from keras_resnet.data.pipeline import reason
    from keras_resnet.data.sources import load_image_set

    images = load_image_set(data, None)
    split = images.split(options.split)
    try:
        os.makedirs(options.output, exist_ok=True)
        classes = images.target == "label"
        for index in _spread(split, options.count) if classes else range(min(options.count, split.size)):
            try:
                image, label = split.read(index)
                pixels = decode(image, images.image_shape[2], data.exif_orientation)
            except tf.errors.OpError as error:
                raise DataError(f"{split.source(index)}: {reason(error)}") from None
            ending = f"_{images.labels[int(label)]}".replace("/", "_").replace(os.sep, "_") if classes else ""
            path = os.path.join(options.output, f"{options.split}{index:04d}{ending}.png")
            tf.io.write_file(path, tf.io.encode_png(visible(pixels.numpy()) if pixels.shape[2] > 3 else pixels))
            print(path)
    except OSError as error:
        raise ConfigError(f"--output={options.output}: cannot be written ({error.strerror})") from None


def _spread(split, count):
    """Returns the indices of `count` images, alternating between classes."""
    by_label: dict[int, list[int]] = {}
    for index in range(min(split.size, 10_000)):  # limited, since labels may be read one by one
        label = split.read(index)[1] if split.labels is None else split.labels[index]
        by_label.setdefault(int(label), []).append(index)
    turns = sorted((turn, label, index) for label, many in by_label.items() for turn, index in enumerate(many))
    return [index for _, _, index in turns[:count]]
