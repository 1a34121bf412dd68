"""Alternating training: what each step trains and computes, the shared layers, and runs that are killed in any step."""

import pathlib
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, run, tiny_task
from faults_rig import differences

from keras_resnet.config import check_strategy, load_config
from keras_resnet.config.detection import earlier_step
from keras_resnet.data import scenes
from keras_resnet.data.pipeline import Shard
from keras_resnet.detection import losses
from keras_resnet.detection.alternation import STEPS
from keras_resnet.detection.detector import build_detector
from keras_resnet.errors import ConfigError
from keras_resnet.training.optimizer import prepare
from keras_resnet.weights.native import named_variables, save_weights
from keras_resnet.weights.tensors import read_tensors

RECIPE = str(ROOT / "configs/detection/scenes_c4.yaml")
SMALL = ["data.image_size=64", "detector.anchor_sizes=[[16, 32]]", "train.alternate=true"]
TRUNK, RPN, STAGE, SIBLINGS = ("stem", "stage1", "stage2"), ("rpn",), ("stage3",), ("box",)
TRAINED = {1: TRUNK + RPN, 2: TRUNK + STAGE + SIBLINGS, 3: RPN, 4: STAGE + SIBLINGS}


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 8, "validation": 4, "test": 4})
        yield


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """Returns weights for the first three steps, each of another seed."""
    folder, paths = tmp_path_factory.mktemp("earlier"), {}
    description = tiny_task(load_config(RECIPE, SMALL)).description
    for step in (1, 2, 3):
        keras.utils.set_random_seed(step)
        model = build_detector(description)
        paths[earlier_step(step)] = str(folder / f"{step}.safetensors")
        save_weights(model, paths[earlier_step(step)])
    return paths


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_step_trains_its_parts_from_the_weights_before_it(step, earlier):
    task = tiny_task(load_config(RECIPE, [*SMALL, f"train.alternation_step={step}"]))
    task.earlier_weights = {name: path for name, path in earlier.items() if name < earlier_step(step)}
    model = task.build_model()
    prepare(model, task.config.train)
    trained = {variable.path.partition("/")[0] for variable in model.trainable_variables}
    expected = {path.partition("/")[0] for path in named_variables(model) if path.startswith(TRAINED[step])}
    assert trained == expected
    begins = {3: 2, 4: 3}.get(step)
    assert task.start_from(model) == (earlier[earlier_step(begins)] if begins else None)
    if begins:
        there = read_tensors(earlier[earlier_step(begins)])
        for path, variable in named_variables(model).items():
            np.testing.assert_array_equal(variable, there[path], err_msg=path)


def test_losses_of_a_step_are_those_of_its_proposals_or_rois(earlier, monkeypatch):
    """The second step has the proposals of the first one's detector, the fourth those of its own network."""
    makers = []
    sampled = losses.sampled_rois

    def recorded(options, proposed, objects, seeds):
        makers.append(proposed.boxes)
        return sampled(options, proposed, objects, seeds)

    monkeypatch.setattr(losses, "sampled_rois", recorded)
    names, models = {}, {}
    for step in STEPS:
        task = tiny_task(load_config(RECIPE, [*SMALL, f"train.alternation_step={step}"]))
        task.earlier_weights = earlier
        models[step] = task.build_model()
        task.start_from(models[step])
        batch = next(iter(task.train_dataset(0, Shard(0, 1, 2))))
        _, sums = task.loss(models[step], batch)
        names[step] = {name for name in sums if name.endswith("_loss")}
    assert names[1] == names[3] == {"rpn_score_loss", "rpn_box_loss"}
    assert names[2] == names[4] == {"class_loss", "box_loss"}
    images = batch[0][0]
    for step, boxes in zip((1, 3), makers, strict=True):
        maker = build_detector(task.description)
        for path, value in read_tensors(earlier[earlier_step(step)]).items():
            named_variables(maker)[path].assign(value)
        expected = maker.propose(maker.feature_maps(images), training=True).boxes
        np.testing.assert_allclose(boxes, expected, atol=1e-3)


@pytest.mark.parametrize(("damage", "why"), [("cut", "not a complete safetensors file"), ("gone", "cannot be read")])
def test_damaged_weights_of_an_earlier_step_are_one_line(damage, why, earlier, tmp_path):
    path = tmp_path / earlier_step(3) / "weights" / "last.safetensors"
    path.parent.mkdir(parents=True)
    if damage == "cut":
        path.write_bytes(pathlib.Path(earlier[earlier_step(3)]).read_bytes()[:5000])
    task = tiny_task(load_config(RECIPE, SMALL))
    task.earlier_weights = earlier | {earlier_step(3): str(path)}
    with pytest.raises(ConfigError) as error:
        task.start_from(task.build_model())
    assert str(error.value).startswith(f"{path}: {why} (")
    assert str(error.value).endswith(f"; delete the folder {tmp_path / earlier_step(3)} to train this step again")


def test_step_without_the_one_before_it_is_refused(earlier):
    task = tiny_task(load_config(RECIPE, [*SMALL, "train.alternation_step=3"]))
    with pytest.raises(ConfigError, match=r"train\.alternation_step: 3 needs the step before it; omit it"):
        task.check_training()
    task.earlier_weights = earlier
    task.check_training()


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["train.alternate=false", "train.alternation_step=2"], "train.alternation_step: is for runs with alternate"),
        (["train.early_stopping_patience=3"], "train.early_stopping_patience: cannot go with train.alternate"),
    ],
)
def test_wrong_configuration_is_one_line(assignments, message):
    with pytest.raises(ConfigError, match=message):
        load_config(RECIPE, [*SMALL, *assignments])


def test_several_workers_are_refused():
    with pytest.raises(ConfigError, match="--strategy=multi_worker: is not possible for a run of several steps"):
        check_strategy(load_config(RECIPE, SMALL), "multi_worker")


FLAGS = ("--config=detection/scenes_c4", "--set=train.alternate=true", "--set=train.steps=4", "--set=train.log_every=2")
FLAGS += ("--set=train.warmup_steps=0", "--set=train.eval_every=4", "--set=train.checkpoint_every=2")
FLAGS += ("--set=train.batch_size=2", "--set=data.image_size=64", "--set=data.validation_fraction=0.02")
FOLDERS = [earlier_step(1), earlier_step(2), earlier_step(3), ""]
# A checkpoint has 3 files, and a run has checkpoints at 0, 2 and 4 steps. Each process is killed while it writes the
# last one of a step; before that, it writes the last one of the step before.
KILLS = [f"runs.checkpoints:write_synced:before:{count}:kill" for count in (9, 12, 12, 12)]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_run_killed_in_every_step_ends_bit_identical_and_shares_its_layers(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = run("train.py", *FLAGS, f"--workdir={whole}", timeout=1200)
    assert process.returncode == 0, process.stderr
    weights = {step: read_tensors(str(whole / earlier_step(step) / "weights/last.safetensors")) for step in (1, 2, 3)}
    weights[4] = read_tensors(str(whole / "weights/last.safetensors"))
    for step, before in ((3, 2), (4, 3)):
        changed = {name for name, value in weights[step].items() if not np.array_equal(value, weights[before][name])}
        assert changed
        assert all(name.startswith(TRAINED[step]) for name in changed), step
    assert not np.array_equal(weights[1]["stem_conv/kernel"], weights[2]["stem_conv/kernel"])
    for point in KILLS:
        process = run("tests/faults/fault_at.py", point, *FLAGS, f"--workdir={killed}", timeout=1200)
        assert process.returncode == -signal.SIGKILL, process.stderr
    process = run("train.py", *FLAGS, f"--workdir={killed}", timeout=1200)
    assert process.returncode == 0, process.stderr
    for folder in FOLDERS:
        assert differences(whole / folder, killed / folder) == []
        assert "resuming from step" in (killed / folder / "log.txt").read_text(), folder
    assert tf.io.gfile.exists(str(whole / "results.json"))
