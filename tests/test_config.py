"""Every mistake gives one line with the position, the wrong value and the allowed ones."""

import json

import jsonschema
import pytest
from conftest import ROOT

from keras_resnet.config import Config, check_strategy, config_json_schema, load_config, resolve
from keras_resnet.errors import ConfigError, suggest
from keras_resnet.yaml_files import read_yaml

DEFAULT = str(ROOT / "configs/digits/resnet20.yaml")
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


def write(tmp_path, text, name="c.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def schema():
    return jsonschema.validators.validator_for({})(json.loads((ROOT / "configs/schema.json").read_text()))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_load_config_of_every_shipped_recipe(path, schema):
    config = load_config(str(path))
    schema.validate(read_yaml(str(path)).value)
    assert config.train.steps or config.train.epochs


def test_schema_file_is_current(schema):
    schema.check_schema(schema.schema)
    assert (ROOT / "configs/schema.json").read_text() == config_json_schema()


def test_config_yaml_round_trip(tmp_path):
    config = load_config(DEFAULT, ["model.version=2", "train.milestones=[0.25]"])
    assert load_config(write(tmp_path, config.to_yaml())) == config


def test_yaml_numbers_and_versions(tmp_path):
    """YAML 1.1 would read 1e-3 as text, `no` as false and 010 as 8."""
    path = write(tmp_path, "model: {version: 1.5}\ntrain: {steps: 010, learning_rate: 1e-3}\n")
    config = load_config(path)
    assert (config.train.steps, config.train.learning_rate, config.model.version) == (10, 0.001, "1.5")


def test_extends_merges_groups(tmp_path):
    write(tmp_path, "train: {steps: 5, batch_size: 8}\ndata: {horizontal_flip: true}\n", "base.yaml")
    config = load_config(write(tmp_path, "extends: base.yaml\ntrain: {steps: 7}\n"), ["train.seed=3"])
    assert (config.train.steps, config.train.batch_size, config.train.seed, config.data.horizontal_flip) == (
        7,
        8,
        3,
        True,
    )


def test_extends_of_itself_is_refused(tmp_path):
    write(tmp_path, "extends: c.yaml\n", "base.yaml")
    with pytest.raises(ConfigError, match="extends itself"):
        load_config(write(tmp_path, "extends: base.yaml\n"))


def test_digest_changes_with_every_value():
    digests = {
        load_config(DEFAULT, [change]).digest()
        for change in ("train.seed=0", "train.seed=1", "data.horizontal_flip=true")
    }
    assert len(digests) == 3


def test_resolve_converts_epochs_to_steps_once():
    config = resolve(load_config(DEFAULT, ["train.epochs=2", "train.batch_size=32"]), 100)
    assert (config.train.steps, config.train.epochs, config.train.eval_every) == (6, None, 4)
    assert resolve(config, 100) == config


BAD_FILES = {  # text -> expected part of the line
    "train: {steps: 5, stepz: 6}": 'c.yaml:1: train.stepz: unknown key; did you mean "steps"',
    "train:\n  steps: 5\n  lr: 1": 'c.yaml:3: train.lr: unknown key; did you mean "learning_rate"',
    "train:\n  steps: 5\n  learning_rate: fast": 'c.yaml:3: train.learning_rate: expected a number >= 0, got "fast"',
    "train: {steps: 5, learning_rate: -1}": "c.yaml:1: train.learning_rate: expected a number >= 0, got -1",
    "train: {steps: 5, learning_rate: .inf}": "train.learning_rate: expected a number >= 0, got",
    "train: {steps: 5.5}": "train.steps: expected a whole number >= 1 and <= 1000000000, got 5.5",
    "train: {steps: -1}": "train.steps: expected a whole number >= 1 and <= 1000000000, got -1",
    "train: {steps: true}": "train.steps: expected a whole number >= 1 and <= 1000000000, got true",
    "train: {steps: 5, momentum: 1}": "train.momentum: expected a number >= 0 and < 1, got 1",
    "train: {steps: 5, precision: float16}": 'train.precision: got "float16"; did you mean "float32"',
    "train: {steps: 5, milestones: [0.5, 2]}": "train.milestones: expected a list of numbers > 0 and < 1, got 2",
    "train: {steps: 5, milestones: [0.7, 0.5]}": "train.milestones: expected growing fractions",
    "train: {steps: 5, epochs: 5}": "train.steps: give one of train.steps and train.epochs, got both",
    "train: {batch_size: 5}": "give one of train.steps and train.epochs, got neither",
    "model: {name: resnet20}": 'model.name: unknown name "resnet20"; did you mean',
    "model: {name: plain34, shortcut: A}\ntrain: {steps: 1}": "c.yaml:1: model.shortcut: plain34 has no shortcuts",
    "model: {version: 3}\ntrain: {steps: 1}": 'model.version: got "3"; expected one of "1", "1.5", "2"',
    "model: resnet50\ntrain: {steps: 1}": 'model: expected a group of keys, got "resnet50"',
    "data: {name: mnist}\ntrain: {steps: 1}": 'data.name: unknown name "mnist"; expected one of "digits"',
    "data: {horizontal_flip: yes}\ntrain: {steps: 1}": 'data.horizontal_flip: expected true or false, got "yes"',
    "data: {image_size: 4}\ntrain: {steps: 1}": "a whole number >= 8 and <= 2048, or [height, width] of such, got 4",
    "data: {image_size: [64, 4]}\ntrain: {steps: 1}": "or [height, width] of such, got [64, 4]",
    "data: {image_size: [64, 64, 3]}\ntrain: {steps: 1}": "or [height, width] of such, got [64, 64, 3]",
    "modle: {}\ntrain: {steps: 1}": 'c.yaml:1: modle: unknown key; did you mean "model"',
    "task: segmentation\ntrain: {steps: 1}": 'task: got "segmentation"; expected one of "classification", "detection"',
    "train: {steps: 1}\ntrain: {steps: 2}": "c.yaml:2: train: is given twice, first in",
    "train:\n  steps: 1\n  steps: 2": "c.yaml:3: train.steps: is given twice, first in",
    "train: !!python/object/apply:os.system [ls]": "is not allowed; use plain values",
    "train: {steps: !!python/name:os.system ''}": "is not allowed; use plain values",
    "a: &a [1]\ntrain: *a": "anchors and aliases are not allowed",
    "- 1\n- 2": "c.yaml:1: expected a group of keys, got a list",
    "train: [": "c.yaml:1: not YAML",
    "train:\n\tsteps: 1": "c.yaml:2: not YAML",
    "extends: nowhere.yaml": "c.yaml:1: extends: no file",
    "extends: [a]": "extends: expected the name of a file",
    "export: {top_k: 0}\ntrain: {steps: 1}": "export.top_k: expected a whole number >= 1, got 0",
    "eval: {crop_pct: 1.5}\ntrain: {steps: 1}": "eval.crop_pct: expected a number > 0 and <= 1, got 1.5",
    "a: " + "x" * 1_000_001: "larger than 1000000 bytes",
    "train: {steps: !!int abc}": 'c.yaml:1: "abc" is not a value of its tag',
    "train: {steps: !!bool maybe}": "is not a value of its tag",
    "train: {<<: {steps: 1}}": "c.yaml:1: ",
    "train: {steps: 99999999999999999999}": "train.steps: expected a whole number >= 1 and <= 1000000000, got 9",
    "": "train: is missing",
    "\x00": "not YAML",
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.items(), ids=[text[:40] for text in BAD_FILES])
def test_load_config_of_a_wrong_file_gives_one_line(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    line = str(caught.value)
    assert message in line
    assert "\n" not in line
    assert len(line) < 500


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.seed", "--set='train.seed': expected group.key=value"),
        ("=3", "--set='=3': expected group.key=value"),
        ("train..seed=3", "expected group.key=value"),
        ("train.seed=a", '--set: train.seed: expected a whole number >= 0 and <= 2147483647, got "a"'),
        ("train.seed=[1", "--set='train.seed=[1': not YAML"),
        ("train.seed=1\n2: 3", "expected one value on one line"),
        ("train=3", "--set: train: expected a group of keys, got 3"),
        ("model.name=resnt50", 'did you mean "resnet50"'),
    ],
)
def test_load_config_with_a_wrong_assignment_gives_one_line(assignment, message):
    with pytest.raises(ConfigError) as caught:
        load_config(DEFAULT, [assignment])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_load_config_refuses_a_file_that_is_not_utf8(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_config(str(tmp_path / "c.yaml"))


def test_load_config_of_a_missing_file():
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such file"):
        load_config("nowhere.yaml")


def config(**train):
    return Config.model_validate({"train": {"steps": 1} | train})


def test_check_strategy_refuses_an_indivisible_batch_size():
    with pytest.raises(ConfigError, match=r"train.batch_size: 63 does not divide over 2 replicas; try 62 or 64"):
        check_strategy(config(batch_size=63), "mirrored", 2)
    with pytest.raises(ConfigError, match=r"eval.batch_size: 256 does not divide over 3 replicas; try 255 or 258"):
        check_strategy(config(batch_size=63), "mirrored", 3)
    check_strategy(config(batch_size=64), "mirrored", 2)


def test_check_strategy_refuses_float16_with_xla_under_mirrored():
    with pytest.raises(ConfigError, match=r"train.jit_compile: true cannot go with train.precision mixed_float16"):
        check_strategy(config(precision="mixed_float16", jit_compile=True), "mirrored")
    check_strategy(config(precision="mixed_float16", jit_compile=True), "one_device")
    check_strategy(config(precision="mixed_bfloat16", jit_compile=True), "mirrored")


def test_check_strategy_refuses_an_unknown_strategy():
    with pytest.raises(ConfigError, match='unknown strategy "miror"; did you mean "mirrored"'):
        check_strategy(config(), "miror")


def test_suggest_similar_or_all_names():
    assert suggest("resnet5", ["resnet50", "plain34"]) == 'did you mean "resnet50"?'
    assert suggest("lr", ["steps", "learning_rate"]) == 'did you mean "learning_rate"?'
    assert suggest("zzz", ["a", "b"]) == 'expected one of "a", "b"'
