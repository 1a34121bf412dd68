"""Tests commands on third-party weights: conversion, listing, training, evaluation, packaging."""

import json
import re

import numpy as np
import pytest
from conftest import in_process
from safetensors.numpy import load_file, save_file
from weights_rig import state_of

from keras_resnet import from_weights
from keras_resnet.config import load_config

COMMAND = ("-m", "keras_resnet")


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("theirs") / "resnet18.safetensors"
    save_file(state_of("torchvision_resnet18"), path)
    return path


def test_convert_weights_round_trip(torch_file, tmp_path, cli):
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    flags = ("--mean=1,2,3", "--std=4,5,6", "--image_size=96", "--crop_pct=0.8", "--interpolation=bicubic")
    process = cli(*COMMAND, "convert-weights", torch_file, ours, *flags)
    assert process.returncode == 0, process.stderr
    assert "resnet18, version 1.5, shortcut B, 1000 classes" in process.stdout
    assert "11,689,512" in process.stdout
    assert re.search(r"mean +1, 2, 3\n", process.stdout)
    assert process.stderr == ""  # given preprocessing is not assumed
    process = cli(*COMMAND, "convert-weights", ours, theirs, "--to=torchvision")
    assert process.returncode == 0, process.stderr
    for name, value in load_file(torch_file).items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(load_file(theirs)[name], value)
    again = from_weights(str(theirs))
    about = again.description.preprocessing  # stored with the weights
    assert (about.mean, about.std, about.image_size) == ((1, 2, 3), (4, 5, 6), 96)
    assert (about.crop_pct, about.interpolation) == (0.8, "bicubic")


@pytest.mark.slow
def test_convert_weights_logs_assumed_preprocessing(torch_file, tmp_path, cli):
    process = cli(*COMMAND, "convert-weights", torch_file, tmp_path / "x.weights.h5")
    assert process.returncode == 0, process.stderr
    assert "assumed: images are normalized by ImageNet's mean 123.675, 116.28, 103.53 and std" in process.stderr
    model = from_weights(str(torch_file))
    before = model.get_weights()
    model.set_weights([0 * each for each in before])
    model.load_weights(tmp_path / "x.weights.h5")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{file}"], "expected SOURCE and TARGET"),
        (["{file}", "{folder}/x.safetensors", "--to=tim"], '--to: unknown format "tim"; did you mean "timm"?'),
        (["{file}", "{folder}/x.pth"], "with --to=keras, expected the name of a .safetensors or a .weights.h5 file"),
        (["{file}", "{file}"], "already exists; name another, or add --overwrite"),
        (["{file}", "{folder}/no/x.safetensors"], "there is no folder"),
        (
            ["resnet50.pth", "{folder}/x.safetensors"],
            "'resnet50.pth' is neither a file nor a name of",
        ),
        (["{file}", "{folder}/x.safetensors", "--mean=a"], "--mean=a: expected numbers"),
        (
            ["{file}", "{folder}/x.safetensors", "--std=0,1,1"],
            "std: got 0, 1, 1, but images are in [0, 255]",
        ),
        (["README.md", "{folder}/x.safetensors"], "README.md: not a complete safetensors file"),
    ],
)
def test_convert_weights_user_error_is_one_line(arguments, message, torch_file, tmp_path):
    arguments = [each.format(file=torch_file, folder=tmp_path) for each in arguments]
    process = in_process(*COMMAND, "convert-weights", *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_list_weights_shows_published_metrics():
    process = in_process(*COMMAND, "list", "--weights")
    assert process.returncode == 0, process.stderr
    row = next(line for line in process.stdout.splitlines() if line.startswith("torchvision/resnet50.IMAGENET1K_V2 "))
    assert row.split()[1:6] == ["resnet50", "25,557,032", "80.86", "95.43", "224"]


@pytest.mark.slow
def test_train_from_weights_resumes_without_weight_file(tmp_path, cli, tiny_run):
    """The run's configuration stores the weights' options, so the run resumes without the weight file."""
    weights = tmp_path / "akamaster.safetensors"
    save_file(state_of("akamaster_resnet20"), weights)
    command = ["train.py", f"--workdir={tmp_path / 'run'}", *tiny_run, f"--set=model.weights={weights}"]
    process = cli(*command, "--set=model.reset_head=true")
    assert process.returncode == 0, process.stderr
    assert "with a new classifier of 10 classes" in process.stdout
    config = load_config(str(tmp_path / "run" / "config.yaml"))
    assert (config.model.zero_padding_position, config.model.mean) == ("both", (123.675, 116.28, 103.53))
    weights.unlink()
    process = cli(*command, "--set=model.reset_head=true")
    assert process.returncode == 0, process.stderr
    assert "Already finished" in process.stdout
    process = cli(*command, f"--workdir={tmp_path / 'other'}")
    assert process.returncode == 2
    assert "model.weights: " in process.stderr
    assert "is neither a file nor a name" in process.stderr


@pytest.mark.slow
def test_train_weights_of_other_network_are_refused(torch_file, tmp_path, cli, tiny_run):
    process = cli("train.py", f"--workdir={tmp_path / 'run'}", *tiny_run, f"--set=model.weights={torch_file}")
    assert process.returncode == 2
    assert "has weights of resnet18 (stem='imagenet'), not of cifar_resnet20 (stem='cifar')" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_evaluate_weight_file_equals_run(finished_run, tmp_path, cli):
    path = tmp_path / "alone.safetensors"
    assert cli(*COMMAND, "convert-weights", finished_run / "weights" / "best.safetensors", path).returncode == 0
    of_run = cli(*COMMAND, "evaluate", finished_run, "--split=test")
    alone = cli(*COMMAND, "evaluate", path, "--set=data.name=digits", "--split=test")
    assert alone.returncode == 0, alone.stderr
    assert of_run.stdout.splitlines()[1:] == alone.stdout.splitlines()[1:]
    process = cli(*COMMAND, "evaluate", path, "--split=test")
    assert process.returncode == 2
    assert "add --set=data.name=folder:PATH" in process.stderr


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_torch_weight_folder_error_suggests_convert_weights(tmp_path, cli, command):
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    arguments = ("--set=data.name=digits",) if command == "evaluate" else ("a.png",)
    process = cli(*COMMAND, command, tmp_path, *arguments)
    assert process.returncode == 2
    assert f"convert-weights {tmp_path}/pytorch_model.bin TARGET.safetensors" in process.stderr


def test_package_for_hub_round_trip(finished_run, tmp_path, cli):
    folder = tmp_path / "my-resnet"
    process = cli(*COMMAND, "package-for-hub", finished_run, folder, "--license=apache-2.0")
    assert process.returncode == 0, process.stderr
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "curves.png",
        "model.safetensors",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert (config["architecture"], config["num_classes"], config["label_names"][3]) == ("cifar_resnet20", 10, "3")
    card = (folder / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "| validation error |" in card
    model = from_weights(str(folder))
    theirs = load_file(finished_run / "weights" / "best.safetensors")
    for variable in model.variables:
        np.testing.assert_array_equal(variable, theirs[variable.path])
    assert model.description.labels == tuple("0123456789")
    process = cli(*COMMAND, "package-for-hub", finished_run, folder)
    assert process.returncode == 2
    assert "already exists" in process.stderr
