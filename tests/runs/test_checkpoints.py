import os

import numpy as np
import pytest

from keras_resnet.errors import ConfigError
from keras_resnet.runs.checkpoints import (
    Checkpoint,
    committed,
    network_arrays,
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
)


def checkpoint(step):
    arrays = {"a/b": np.full((3, 2), step, np.float32), "n": np.array(step)}
    return Checkpoint(step, arrays, {"best": {"step": step}}, {"train": {"seed": 0}})


@pytest.fixture
def folder(tmp_path):
    path = str(tmp_path / "checkpoints")
    for step in (10, 20, 30):
        save_checkpoint(path, checkpoint(step))
        prune(path, step, keep=2)
    return path


def test_save_and_prune_keep_the_newest_checkpoints(folder):
    assert [step for step, _ in committed(folder)] == [30, 20]
    newest = newest_checkpoint(folder, warn=pytest.fail)
    assert (newest.step, newest.state) == (30, {"best": {"step": 30}})
    np.testing.assert_array_equal(newest.arrays["a/b"], np.full((3, 2), 30))
    assert newest.arrays["n"] == 30
    assert newest.config == {"train": {"seed": 0}}


def test_prune_keeps_the_best_checkpoint(folder):
    for step in (40, 50, 60):
        save_checkpoint(folder, checkpoint(step))
        prune(folder, step, keep=1, best={20})
    assert [step for step, _ in committed(folder)] == [60, 20]


def test_prune_keeps_checkpoints_older_than_a_damaged_one(folder):
    damage(os.path.join(folder, "step-00000030", "state.json"), "empty")
    for step in (22, 24):
        save_checkpoint(folder, checkpoint(step))
        prune(folder, step, keep=2)
    assert newest_checkpoint(folder, warn=lambda _: None).step == 24
    save_checkpoint(folder, checkpoint(30))
    prune(folder, 30, keep=2)
    assert [step for step, _ in committed(folder)] == [30, 24]
    assert newest_checkpoint(folder, warn=pytest.fail).step == 30


def damage(path, kind):
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        if kind == "truncated":
            file.truncate(size // 2)
        elif kind == "empty":
            file.truncate(0)
        else:
            file.seek(size // 2)
            byte = file.read(1)[0]
            file.seek(size // 2)
            file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("name", ["variables.safetensors", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("kind", ["truncated", "empty", "one bit", "missing"])
def test_newest_checkpoint_skips_a_damaged_one_with_a_warning(folder, name, kind):
    path = os.path.join(folder, "step-00000030", name)
    if kind == "missing":
        os.remove(path)
    else:
        damage(path, kind)
    warnings = []
    assert newest_checkpoint(folder, warnings.append).step == 20
    assert len(warnings) == 1
    assert "step-00000030" in warnings[0]


def test_newest_checkpoint_skips_one_named_for_another_step(folder):
    os.rename(os.path.join(folder, "step-00000030"), os.path.join(folder, "step-00000031"))
    warnings = []
    assert newest_checkpoint(folder, warnings.append).step == 20
    assert "is the checkpoint of step 30 under another name" in warnings[0]


def test_newest_checkpoint_refuses_a_later_format(folder, monkeypatch):
    monkeypatch.setattr("keras_resnet.runs.checkpoints.FORMAT", 2)
    save_checkpoint(folder, checkpoint(40))
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="in format 2; this version reads formats up to 1"):
        newest_checkpoint(folder, pytest.fail)


def test_newest_checkpoint_ignores_uncommitted_folders(folder):
    os.rename(os.path.join(folder, "step-00000030"), os.path.join(folder, ".step-30.tmp-host-1"))
    assert newest_checkpoint(folder, warn=pytest.fail).step == 20


def test_newest_checkpoint_without_a_folder_is_none(tmp_path):
    assert newest_checkpoint(str(tmp_path / "none"), warn=pytest.fail) is None
    with pytest.raises(ValueError, match="none"):
        read_checkpoint(str(tmp_path / "none"))


def of_0_1(decay, *names):
    """Returns a checkpoint that does not name its averages."""
    arrays = {name: np.array(i) for i, name in enumerate(("a/kernel", "a/moving_mean", "random/0", *names))}
    return Checkpoint(7, arrays, {}, {"train": {"ema_decay": decay}})


@pytest.mark.parametrize("optimizer", ["sgd", "loss_scale/sgd", "another"])
def test_network_arrays_finds_averages_of_version_0_1(optimizer):
    """The optimizer's name does not matter; 0.1 knew only "sgd" and silently took the raw weights otherwise."""
    found = network_arrays(
        of_0_1(0.9, f"optimizer/{optimizer}/a_kernel_momentum", f"optimizer/{optimizer}/a_kernel_average")
    )
    assert {name: int(value) for name, value in found.items()} == {"a/kernel": 4, "a/moving_mean": 1}


def test_network_arrays_without_averaging_gives_the_weights():
    found = network_arrays(of_0_1(0.0, "optimizer/sgd/a_kernel_momentum"))
    assert {name: int(value) for name, value in found.items()} == {"a/kernel": 0, "a/moving_mean": 1}


def test_network_arrays_with_a_missing_average_raises_value_error():
    with pytest.raises(ValueError, match=r"step 7: train.ema_decay is 0.9, no average of any variable"):
        network_arrays(of_0_1(0.9, "optimizer/sgd/a_kernel_momentum"))
    arrays = {"a/kernel": np.array(0)}
    with pytest.raises(ValueError, match=r"step 7: .*no average of a/kernel \(optimizer/sgd/a_kernel_average\)"):
        network_arrays(Checkpoint(7, arrays, {}, averages={"a/kernel": "optimizer/sgd/a_kernel_average"}))


def test_save_and_read_checkpoint_keep_averages(tmp_path):
    averages = {"a/kernel": "optimizer/mine/a_kernel_average"}
    path = save_checkpoint(str(tmp_path), Checkpoint(7, {"a/kernel": np.array(0)}, {}, averages=averages))
    assert read_checkpoint(path).averages == averages
