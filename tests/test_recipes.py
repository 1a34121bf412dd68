"""Every shipped recipe agrees with its head comment and with the documentation."""

import functools
import re

import pytest
from conftest import ROOT
from recipes_rig import CIFAR, CONFIGS, PAPER, recipe

from keras_resnet import SPECS, build, complexity
from keras_resnet.analysis.complexity import read_complexities
from keras_resnet.config import load_config
from keras_resnet.paper_results import published

OWN = ("digits/", "scene_digits/", "detection/", "localization/", "evidence/", "folder/")  # without a cost in MACs
LONGEST_HEAD = 13  # lines: the schema's, two or three empty ones, about ten


def head(name):
    lines = CONFIGS[name].read_text().splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


@pytest.mark.parametrize("name", CONFIGS)
def test_recipe_head_has_schema_command_cost_and_source(name):
    lines = head(name)
    assert lines[0] == "# yaml-language-server: $schema=../schema.json"
    assert len(lines) <= LONGEST_HEAD
    text = "\n".join(lines)
    default = name == "digits/resnet20.yaml"  # train.py's own
    flag = "--strategy=mirrored" if default else f"--config={name.removesuffix('.yaml')}"
    assert re.search(rf"^#   keras-resnet train .*{re.escape(flag)}( |$)", text, re.MULTILINE)
    assert default or ("Cost" in text and "Published" in text)


@pytest.mark.parametrize("name", CONFIGS)
def test_recipe_head_assignments_are_valid(name):
    """Applies each --set assignment of a head alone to the recipe."""
    for assignment in re.findall(r"--set (\S+?)[,;:.]?(?=\s)", "\n".join(head(name)) + "\n"):
        load_config(str(CONFIGS[name]), [assignment])


@pytest.mark.sampled("imagenet/resnet18.yaml")
@pytest.mark.parametrize("name", [name for name in CONFIGS if not name.startswith(OWN)])
def test_recipe_head_cost_equals_the_computed_cost(name):
    """MACs of a forward pass, times three for the backward pass too, for every image of every step."""
    config = recipe(name)
    text = "\n".join(head(name))
    steps, madds = re.search(r"Cost.*: ([\d,]+) steps, .* = ([\d.e]+) MACs", text).groups()
    assert int(steps.replace(",", "")) == config.train.total_steps
    images = config.train.total_steps * config.train.batch_size
    assert float(madds) == pytest.approx(3 * macs(config.model.spec, config.data.train_image_size) * images, rel=5e-3)


def macs(spec, side):
    row = SPECS[spec.name]
    return read_complexities()[spec.name]["macs"] if spec == row and side is None else built_macs(spec, side)


@functools.cache
def built_macs(spec, side):
    return complexity(build(spec, input_shape=(side, side, 3) if side else None)).macs


@pytest.mark.parametrize("name", [name for name in [*PAPER, *CIFAR] if published(recipe(name))])
def test_recipe_head_has_a_published_error(name):
    text = "\n".join(head(name))
    assert name.endswith("paper.yaml") or [each for each in published(recipe(name)) if f"{each.error} %" in text]


def test_recipes_page_lists_every_recipe():
    rows = [line for line in (ROOT / "docs/recipes.md").read_text().splitlines() if line.startswith("| [")]
    listed = [re.match(r"\| \[\S+\]\(\.\./configs/(\S+)\)", row)[1] for row in rows]
    assert sorted(listed) == sorted(CONFIGS)
    for name, row in zip(listed, rows, strict=True):
        assert f"`{recipe(name).model.name}`" in row
        for cost in re.findall(r"= (\S+) MACs", "\n".join(head(name))):
            assert f" {cost} " in row
