"""Tests loading weight files of a run, as another version may have written them."""

import json

import pytest

from keras_resnet import __version__
from keras_resnet.commands.runs import load_run
from keras_resnet.errors import ConfigError
from keras_resnet.weights.tensors import read_metadata, read_tensors, write_tensors


@pytest.fixture
def rewritten(finished_run, tmp_path):
    """Returns a function that writes a copy of a run's weight file with changed metadata."""
    source, target = str(finished_run / "weights" / "best.safetensors"), str(tmp_path / "best.safetensors")

    def write(changes, **strings):
        metadata = read_metadata(source)
        config = json.loads(metadata["config"])
        config["train"] |= changes
        write_tensors(read_tensors(source), target, metadata | {"config": json.dumps(config)} | strings)
        return target

    return write


def test_weights_metadata_has_package_version(finished_run):
    assert read_metadata(str(finished_run / "weights" / "best.safetensors"))["keras_resnet"] == __version__


def test_load_run_later_version_names_both_versions(rewritten):
    path = rewritten({"later": 1}, keras_resnet="0.9.0")
    with pytest.raises(ConfigError) as caught:
        load_run(path)
    assert str(caught.value) == (
        f"{path}: train.later: unknown key; written by keras_resnet 0.9.0; this is {__version__}"
    )


@pytest.mark.parametrize("strings", [{"step": "many"}, {"config": "{"}])
def test_load_run_weights_without_run_metadata_raises(rewritten, strings):
    with pytest.raises(ConfigError, match=r"has no metadata of a run; expected a file of a run's weights/$"):
        load_run(rewritten({}, **strings))


def test_load_run_invalid_config_names_key(rewritten):
    with pytest.raises(ConfigError, match=r"best.safetensors: train.momentum: expected a number >= 0 and < 1, got 7$"):
        load_run(rewritten({"momentum": 7}))
