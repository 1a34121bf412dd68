"""What a set of labelled images is, and where each known one comes from."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from keras_resnet.errors import ConfigError, suggest

_LOADERS = {"digits": "keras_resnet.data.digits:load_digits"}


@dataclass(frozen=True)
class Split:
    """Images of one purpose.

    Attributes:
        size: number of images; always known, so that steps and averages are exact.
        read: index () int64 -> (image (H, W, C) uint8, label () int32), inside a TensorFlow graph.
    """

    size: int
    read: Callable


@dataclass(frozen=True)
class ImageSet:
    """Labelled images with fixed splits.

    Attributes:
        name: as in the configuration.
        labels: a name for each class.
        image_shape: (H, W, C) of every image.
        splits: "train", "validation" and "test".
    """

    name: str
    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]
    splits: dict[str, Split]

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            ConfigError: there is none.
        """
        if name not in self.splits:
            raise ConfigError(f'unknown split "{name}" of {self.name}; {suggest(name, self.splits)}')
        return self.splits[name]


def load_image_set(name: str) -> ImageSet:
    """Loads a set of images by the name that the configuration gives it.

    Raises:
        ConfigError: the name is unknown.
    """
    if name not in _LOADERS:
        raise ConfigError(f'unknown data set "{name}"; {suggest(name, _LOADERS)}')
    module, function = _LOADERS[name].split(":")
    return getattr(importlib.import_module(module), function)()
