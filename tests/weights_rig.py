"""What the tests of weights share: seeded values under other people's names, and how far outputs are apart."""

import json
import zlib

import numpy as np
import seeded
from conftest import GOLDEN

# fixture: (the row that its tensors belong to, version)
TORCH = {
    "torchvision_resnet18": ("resnet18", "1.5"),
    "torchvision_resnet50": ("resnet50", "1.5"),
    "torchvision_resnext50_32x4d": ("resnext50_32x4d", "1.5"),
    "timm_resnetv2_50": ("resnet50", "2"),
    "timm_resnet50d": ("resnet50d", "1.5"),
    "timm_seresnet50": ("seresnet50", "1.5"),
    "timm_resnet18d": ("resnet18d", "1.5"),
    "timm_resnetv2_18d": ("resnet18d", "2"),
    "timm_seresnet18": ("seresnet18", "1.5"),
}


def relative_error(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


def state_of(fixture):
    listing = json.loads((GOLDEN / f"{fixture}.json").read_text())
    return {name: np.asarray(seeded.tensor(name, shape, dtype)) for name, shape, dtype in listing}


def logits(model, images):
    return model.predict(images.astype(np.float32), verbose=0)


def keras_value(name, shape):
    """A seeded value of a tensor in Keras's layout, as `seeded.tensor` makes Torch's."""
    x = np.random.default_rng([2015, zlib.crc32(name.encode())]).standard_normal(shape).astype(np.float32)
    variable = name.split("/")[-1].partition(":")[0]
    if len(shape) > 1:
        return x * np.float32(np.sqrt(2.0 / np.prod(shape[:-1])))
    if variable == "moving_variance":
        return np.exp(0.2 * x)
    return 0.1 * x if variable in ("moving_mean", "beta", "bias") else 0.75 + 0.1 * x
