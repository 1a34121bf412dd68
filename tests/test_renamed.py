"""Names of version 0.1: each leads to today's name, in one line, wherever a user may still write it."""

import dataclasses
import json

import pytest
from conftest import ROOT, in_process

import keras_resnet
from keras_resnet.commands.entry import COMMANDS
from keras_resnet.config import Config, load_config
from keras_resnet.description import Preprocessing
from keras_resnet.errors import ConfigError
from keras_resnet.renamed import COMMANDS as RENAMED_COMMANDS
from keras_resnet.renamed import (
    CONFIG_KEYS,
    FUNCTIONS,
    OPTIMIZER_ARGUMENTS,
    PREPROCESSING_FIELDS,
    SPEC_FIELDS,
    Renamed,
    upgrade,
    upgrade_config,
)
from keras_resnet.specs import OPTIONS, TRAINING_ARGUMENTS

FIRST = json.loads((ROOT / "keras_resnet/config/defaults_0_1.json").read_text())
TODAY = Config.model_validate({"train": {"steps": 1}}).model_dump(mode="json")
RECIPE = str(ROOT / "configs/digits/resnet20.yaml")


@pytest.mark.parametrize("old", CONFIG_KEYS)
def test_config_key_names_the_new_one(old):
    group, key = old.split(".")
    new = CONFIG_KEYS[old].new.split(".")[1]
    assert key in FIRST[group]
    assert new in TODAY[group]
    value = next(iter(CONFIG_KEYS[old].values), FIRST[group][key])
    with pytest.raises(ConfigError) as caught:
        load_config(RECIPE, [f"{old}={json.dumps(value)}"])
    line = str(caught.value)
    assert line.startswith(f"--set: {old}: was renamed in version 0.2; write {group}.{new}: ")
    assert "\n" not in line


@pytest.mark.parametrize("value", ["[1]", "{a: 1}", "null", "3"])
@pytest.mark.parametrize("old", ["data.color", "data.crop"])
def test_config_key_of_a_value_that_it_never_had_is_one_line(old, value):
    with pytest.raises(ConfigError, match=r"^--set: data\.(color|crop): "):
        load_config(RECIPE, [f"{old}={value}"])


def test_file_with_an_old_key_names_line_and_new_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("train: {steps: 3}\ndata:\n  crop: whole\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:3: data\.crop: was renamed .*; write data\.crop: \"center\"$"):
        load_config(str(path))


def test_saved_configuration_of_0_1_becomes_today_s():
    config = Config.model_validate(upgrade_config(FIRST | {"train": FIRST["train"] | {"steps": 1}}))
    assert config == Config.model_validate({"train": {"steps": 1}})


def test_values_go_both_ways():
    row = Renamed("preactivation", {"post": False, "pre": True})
    assert [row.value(old) for old in ("post", "pre", None)] == [False, True, None]
    assert [row.old_value(new) for new in (False, True, None)] == ["post", "pre", None]
    assert upgrade({"order": "pre", "name": "x"}, SPEC_FIELDS) == {"preactivation": True, "name": "x"}


OPTION_NAMES = {*OPTIONS, *TRAINING_ARGUMENTS}


@pytest.mark.parametrize(
    ("table", "names"),
    [(SPEC_FIELDS, OPTION_NAMES), (PREPROCESSING_FIELDS, {field.name for field in dataclasses.fields(Preprocessing)})],
)
def test_fields_exist_today_and_old_ones_do_not(table, names):
    assert {row.new for row in table.values()} <= names
    assert not set(table) & names


@pytest.mark.parametrize("old", SPEC_FIELDS)
def test_variant_names_the_new_field(old):
    """A name that is no option of a network any more leads to `build` at once, not to a second error."""
    new = SPEC_FIELDS[old].new
    where = ", an argument of keras_resnet.build" if old in ("last_gamma", "stochastic_depth") else ""
    with pytest.raises(ValueError, match=f"^{old} was renamed in version 0.2: use {new}{where}$"):
        keras_resnet.variant(keras_resnet.SPECS["resnet50"], **{old: None})


@pytest.mark.parametrize("old", FUNCTIONS)
def test_function_names_the_new_one(old):
    with pytest.raises(AttributeError, match=f"was renamed in version 0.2: use keras_resnet.{FUNCTIONS[old]}$"):
        getattr(keras_resnet, old)
    assert callable(getattr(keras_resnet, FUNCTIONS[old]))


def test_attribute_of_complexity_names_the_new_one():
    cost = keras_resnet.complexity(keras_resnet.CIFARResNet(20))
    with pytest.raises(AttributeError, match=r"multiply_adds.*use macs"):
        _ = cost.multiply_adds
    assert cost.macs > 0


def test_optimizer_arguments_exist_today():
    settings = {**keras_resnet.SGD(0.1).get_config(), "milestones": (), "warmup_learning_rate": None}
    assert {row.new for row in OPTIMIZER_ARGUMENTS.values()} <= set(settings)


@pytest.mark.parametrize("old", RENAMED_COMMANDS)
def test_command_names_the_new_one(old):
    process = in_process("-m", "keras_resnet", old, "x")
    expected = f'error: command "{old}" was renamed in version 0.2: use "{RENAMED_COMMANDS[old]}"\n'
    assert (process.returncode, process.stderr) == (2, expected)
    assert RENAMED_COMMANDS[old] in COMMANDS


@pytest.mark.parametrize(
    ("command", "flag", "new"),
    [
        ("package-for-hub", "--licence=mit", "--license"),
        ("predict", "--picture=x.png", "--plot"),
        ("prepare-data", "--on_error=skip", "--on_unreadable_image"),
    ],
)
def test_flag_names_the_new_one(command, flag, new):
    process = in_process("-m", "keras_resnet", command, "a", "b", flag)
    old = flag.partition("=")[0]
    assert (process.returncode, process.stderr) == (2, f"error: {old} was renamed in version 0.2: use {new}\n")
