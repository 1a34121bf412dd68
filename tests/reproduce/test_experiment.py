"""Tests the configuration and the folder of each training of an experiment."""

import json

import pytest
from conftest import ROOT

import keras_resnet.reproduce.experiment as experiment_module
from keras_resnet.config import load_config
from keras_resnet.reproduce.experiment import Experiment, Measurement, Training, cost
from keras_resnet.reproduce.worker import from_json, to_json

PAPER = str(ROOT / "configs/cifar10/paper.yaml")


@pytest.mark.parametrize("name", ["plain20", "plain110", "resnet56", "resnet1202", "highway110"])
def test_experiment_paper_config_equals_network_recipe(name, tmp_path):
    """--config=configs/cifar10/paper.yaml gives the configuration of configs/cifar10/<network>.yaml, with warm-up."""
    config = Experiment(PAPER, str(tmp_path)).config_of(Training(f"cifar_{name}", 3))
    assert config == load_config(str(ROOT / f"configs/cifar10/{name}.yaml"), ["train.seed=3"])


def test_experiment_config_user_settings_override_changes(tmp_path):
    experiment = Experiment(PAPER, str(tmp_path), ("train.steps=7",))
    config = experiment.config_of(Training("cifar_resnet32", 0, ("train.steps=5", "model.shortcut=B")))
    assert (config.train.steps, config.model.shortcut) == (7, "B")


def test_experiment_folder_is_unique_per_configuration(tmp_path):
    experiment = Experiment(PAPER, str(tmp_path))
    trainings = [
        Training("cifar_resnet20", seed, changes) for seed in (0, 1) for changes in ((), ("model.shortcut=B",))
    ]
    paths = {experiment.folder(training).path for training in trainings}
    paths |= {Experiment(PAPER, str(tmp_path), ("train.learning_rate=0",)).folder(trainings[0]).path}
    assert len(paths) == 5
    assert all(path.startswith(f"{tmp_path}/cifar_resnet20-seed") for path in paths)


def test_experiment_train_errors_from_metrics_file(tmp_path):
    """The last 5 % of 100 steps are the steps after 95; the mean over all steps uses every line."""
    experiment, training = Experiment(PAPER, str(tmp_path)), Training("cifar_resnet20")
    folder = experiment.folder(training)
    folder.make()
    lines = [{"step": step, "train/error": error} for step, error in ((50, 60.0), (95, 20.0), (98, 4.0), (100, 2.0))]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, {"step": 100, "validation/error": 9.0}])
    (tmp_path / folder.path / "metrics.jsonl").write_text(text)
    assert experiment.train_error(training) == 3.0
    assert experiment.mean_train_error(training) == 21.5
    assert not experiment.is_done(training)


def test_worker_json_round_trip(tmp_path):
    experiment = Experiment(PAPER, str(tmp_path), ("train.steps=7",), (20, 56), (0, 2))
    training = Training("cifar_resnet20", 2, ("model.shortcut=C",))
    measurement = Measurement("module:name", (("depth", 20), ("network", "x")), (training,), True, 3.0)
    other = Training("scene_resnet14", 1, (), "localization/scenes")
    second = Training("scene_resnet14", 1, (), "localization/scenes_rcnn", other, 9.0)
    for each in (experiment, training, measurement, other, second):
        assert from_json(to_json(each)) == each


def test_cost_grows_with_depth_and_gates(tmp_path):
    experiment = Experiment(PAPER, str(tmp_path))
    costs = [cost(experiment, Training(f"cifar_{name}")) for name in ("plain20", "resnet20", "highway20", "resnet110")]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4


@pytest.mark.parametrize("edited", ["common.yaml", "plain110.yaml", "base.yaml"])
def test_answer_file_changes_with_edited_recipe(edited, tmp_path):
    """The edited file is the common recipe, the recipe of one network, or their base; the file paths do not change."""
    (tmp_path / "base.yaml").write_text("train: {steps: 5}\n")
    (tmp_path / "common.yaml").write_text("extends: base.yaml\ndata: {name: digits}\n")
    (tmp_path / "plain110.yaml").write_text("extends: common.yaml\ntrain: {batch_size: 16}\n")
    measurement = Measurement("module:name", (("family", "plain"), ("depth", 110)))

    def answer_file():
        experiment_module._loaded.cache_clear()  # as in a new process
        return Experiment(str(tmp_path / "common.yaml"), str(tmp_path)).answer_file(measurement)

    before = answer_file()
    assert answer_file() == before
    text = (tmp_path / edited).read_text()
    (tmp_path / edited).write_text(text + "\nrecovery: {max_loss_ratio: null}\n")
    assert answer_file() != before
    (tmp_path / edited).write_text("# a comment says nothing\n" + text)
    assert answer_file() == before


def test_answer_file_of_a_moved_function_keeps_its_name(tmp_path):
    """Results that were measured when the functions were in keras_resnet.analysis are found."""
    experiment = Experiment(PAPER, str(tmp_path))
    names = [f"keras_resnet.{part}.highway:measure_gates" for part in ("analysis", "reproduce")]
    old, new = (experiment.answer_file(Measurement(name, (("seed", 0),))) for name in names)
    assert new == old
    assert experiment.answer_file(Measurement("keras_resnet.reproduce.bottleneck:measure_gates", (("seed", 0),))) != old
