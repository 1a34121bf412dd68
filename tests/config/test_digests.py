"""Tests that digests equal those of version 0.1, which name run folders, and that new keys keep them."""

import json

import pytest
from conftest import GOLDEN, ROOT
from pydantic import Field, create_model
from ruamel.yaml import YAML

from keras_resnet.config import Config, Train, load_config, resolve
from keras_resnet.config.groups import digest
from keras_resnet.renamed import CONFIG_KEYS, Renamed

GOLDEN_DIGESTS = json.loads((GOLDEN / "config_digests.json").read_text())
FIRST = json.loads((ROOT / "keras_resnet/config/defaults_0_1.json").read_text())
DEFAULT = str(ROOT / "configs/digits/resnet20.yaml")


@pytest.mark.parametrize("path", GOLDEN_DIGESTS["files"])
def test_digest_of_recipe_equals_version_0_1(path):
    config, golden = load_config(str(ROOT / path)), GOLDEN_DIGESTS["files"][path]
    assert config.digest() == golden["file"]
    assert resolve(config, 1_281_167).digest() == golden["resolved"]


@pytest.mark.parametrize("assignment", GOLDEN_DIGESTS["changed"])
def test_digest_of_changed_key_equals_version_0_1(assignment):
    """The key is set by its current name and value."""
    key, _, text = assignment.partition("=")
    row = CONFIG_KEYS.get(key, Renamed(key))
    value = YAML(typ="safe").load(text)
    value = value if isinstance(value, list) else row.value(value)
    config = load_config(DEFAULT, [f"{row.new}={json.dumps(value)}"])
    assert config.digest() == GOLDEN_DIGESTS["changed"][assignment]


def later(default=0.0):
    """Returns `Config` with an additional key, as a later version may have it."""
    train = create_model("LaterTrain", __base__=Train, later=(float, Field(default)))
    return create_model("LaterConfig", __base__=Config, train=(train, ...))


def digest_of(kind, **train):
    defaults = kind.model_validate({"train": {"steps": 1}})
    config = kind.model_validate({"train": {"steps": 9} | train})
    return digest(config.model_dump(mode="json"), defaults.model_dump(mode="json"))


def test_digest_ignores_new_key_at_default():
    former = Config.model_validate({"train": {"steps": 9}}).digest()
    assert digest_of(later()) == digest_of(later(default=0.5)) == former
    assert digest_of(later(), later=0.25) != former
    assert digest_of(later(), later=0.25) != digest_of(later(), later=0.75)


def test_config_keeps_or_maps_every_key_of_version_0_1():
    """A key removed or renamed without a row in CONFIG_KEYS would no longer change the digest."""
    today = Config.model_validate({"train": {"steps": 1}}).model_dump(mode="json")
    for group, keys in FIRST.items():
        for key in keys if isinstance(keys, dict) else ():
            new_group, _, new_key = CONFIG_KEYS.get(f"{group}.{key}", Renamed(f"{group}.{key}")).new.partition(".")
            assert new_key in today[new_group], f"{group}.{key}"
