"""The shipped recipes, for tests."""

import re

import pytest
from conftest import ROOT

from keras_resnet.config import load_config, resolve
from keras_resnet.training.optimizer import build_schedule

CONFIGS = {str(path.relative_to(ROOT / "configs")): path for path in sorted((ROOT / "configs").glob("*/*.yaml"))}
TRAIN_SIZES = {"tfds:imagenet2012": 1_281_167, "tfds:cifar10": 45_000, "synthetic": 1_280}
PAPER = [
    name for name in CONFIGS if name.startswith("imagenet/") and not re.search("epochs|long|timm|torchvision", name)
]
CIFAR = [name for name in CONFIGS if name.startswith("cifar10/")]


def recipe(name, *assignments):
    """Returns a recipe's configuration, resolved to steps of the real data set where its size is known."""
    config = load_config(str(CONFIGS[name]), assignments)
    return resolve(config, TRAIN_SIZES[config.data.name]) if config.data.name in TRAIN_SIZES else config


def rate(name, step, *assignments):
    """Returns the learning rate of a step, with a tolerance."""
    schedule = build_schedule(recipe(name, *assignments).train)
    return pytest.approx(float(schedule(step)), rel=1e-5)
