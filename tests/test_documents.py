"""The documents: links lead somewhere, commands and their flags exist, the README is one page."""

import importlib
import pkgutil
import re

import numpy as np
import pytest
from absl import flags
from conftest import ROOT

from keras_resnet.catalog import list_models, list_weights
from keras_resnet.commands.entry import COMMANDS
from keras_resnet.config.recipes import recipe_names
from keras_resnet.tasks import TASKS

DOCUMENTS = [path for path in ROOT.rglob("*.md") if not {".venv", "runs", "golden"} & set(path.parts)]
# What shows commands: documents, recipes, help, the quickstart.
SOURCES = [*DOCUMENTS, *(ROOT / "configs").rglob("*.yaml"), *(ROOT / "keras_resnet/commands").glob("*.py")]
SOURCES += [ROOT / "Makefile"]
CONFIGS = [pkgutil.resolve_name(row.config) for row in TASKS.values()]
KEYS = {
    f"{group}.{key}"
    for config in CONFIGS
    for group, keys in config.model_validate({"train": {"steps": 1}}).model_dump().items()
    if isinstance(keys, dict)
    for key in keys
}


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_relative_links_exist(path):
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_to_headings_exist(path):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text()):
        text = (path.parent / target if target else path).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{target}#{anchor}"


def flags_of(command):
    module = importlib.import_module(f"keras_resnet.commands.{command.replace('-', '_')}")
    options = flags.FlagValues()
    if hasattr(module, "define_flags"):
        module.define_flags(options)
    return set(options) | {"help", "version"}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_commands_exist_with_their_flags(path):
    text = path.read_text().replace("\\\n", " ").replace("$(CLI)", "keras-resnet")
    for line in text.splitlines():
        for command, rest in re.findall(r"keras-resnet ([a-z][a-z-]+)([^`|]*)", line):
            assert command in COMMANDS, line
            rest = rest.partition("#")[0]
            for flag in re.findall(r"(?<=\s)--([a-z_0-9]+)", rest):
                assert flag in flags_of(command), line
            for key in re.findall(r"--set[ =]([a-z]+\.[a-z_0-9]+)=", rest):
                assert key in KEYS, line
            for config in re.findall(r"--config=([a-z][\w/.]*)", rest):
                assert config in recipe_names() or config.endswith(".yaml"), line


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name)
def test_configuration_keys_exist(path):
    """Those in code spans: `data.name`, `train.batch_norm=frozen`. The changelog also has former ones."""
    for key in re.findall(
        r"`(?:--set[ =])?((?:data|detector|localizer|train|recovery|eval|export)\.[a-z_0-9]+)(?:=[^`]*)?`",
        path.read_text(),
    ):
        assert key in KEYS or key.endswith(".py"), key


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_named_tests_exist(path):
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", path.read_text()):
        assert f"\ndef {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


def test_readme_is_one_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_readme_states_the_numbers_of_networks_and_weights():
    text = (ROOT / "README.md").read_text()
    assert f"all {len(list_models())} networks" in text
    assert f"[{len(list_weights())} pretrained weights]" in text


@pytest.mark.slow
def test_the_code_of_the_api_tour_runs():
    """Every line, in order, with images and labels as its comment says."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)[1]
    random = np.random.RandomState(0)
    names = {"images": random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32), "labels": random.randint(0, 10, 4)}
    exec(code, names)
    assert names["pyramid"].output["stage4"].shape[-1] == 2048
    assert names["model"].output_shape == (None, 10)
    assert names["inner"].output_shape == (None, None, None, 1024)


@pytest.mark.slow
def test_the_fine_tuning_of_the_api_tour_runs():
    """With random weights, which need no download, on small images."""
    import keras

    import keras_resnet

    code = re.search(
        r"## Fine-tuning with Keras\n\n```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL
    )[1]
    assert 'weights="timm/resnet50.a1_in1k", ' in code
    names = {"keras": keras, "keras_resnet": keras_resnet}
    exec(code.replace('weights="timm/resnet50.a1_in1k", ', "").replace("224", "32"), names)
    classifier, images = names["classifier"], np.zeros((4, 32, 32, 3), np.uint8)
    before = [weight.numpy() for weight in names["backbone"].weights]
    classifier.fit(images, np.arange(4), verbose=0)
    assert len(classifier.trainable_variables) == 2
    for value, weight in zip(before, names["backbone"].weights, strict=True):
        np.testing.assert_array_equal(value, weight)


def test_every_function_of_the_api_tour_exists():
    import keras_resnet

    for path in (ROOT / "docs/python.md", ROOT / "README.md"):
        for function in re.findall(r"keras_resnet\.([A-Za-z]\w+)\(", path.read_text()):
            assert hasattr(keras_resnet, function), function
