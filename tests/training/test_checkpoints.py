import os

import numpy as np
import pytest

from keras_resnet.training.checkpoints import Checkpoint, committed, newest_checkpoint, read_checkpoint, save_checkpoint


def checkpoint(step):
    return Checkpoint(step, {"a/b": np.full((3, 2), step, np.float32), "n": np.array(step)}, {"best": {"step": step}})


@pytest.fixture
def folder(tmp_path):
    path = str(tmp_path / "checkpoints")
    for step in (10, 20, 30):
        save_checkpoint(path, checkpoint(step), keep=2)
    return path


def test_round_trip_and_keep(folder):
    assert [step for step, _ in committed(folder)] == [30, 20]
    newest = newest_checkpoint(folder, warn=pytest.fail)
    assert (newest.step, newest.state) == (30, {"best": {"step": 30}})
    np.testing.assert_array_equal(newest.arrays["a/b"], np.full((3, 2), 30))
    assert newest.arrays["n"] == 30


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
def test_a_damaged_newest_one_is_skipped_aloud(folder, name, kind):
    path = os.path.join(folder, "step-00000030", name)
    if kind == "missing":
        os.remove(path)
    else:
        damage(path, kind)
    warnings = []
    assert newest_checkpoint(folder, warnings.append).step == 20
    assert len(warnings) == 1
    assert "step-00000030" in warnings[0]


def test_what_is_not_committed_is_not_there(folder):
    os.rename(os.path.join(folder, "step-00000030"), os.path.join(folder, ".tmp-30-1"))
    assert newest_checkpoint(folder, warn=pytest.fail).step == 20


def test_no_folder_no_checkpoint(tmp_path):
    assert newest_checkpoint(str(tmp_path / "none"), warn=pytest.fail) is None
    with pytest.raises(ValueError, match="none"):
        read_checkpoint(str(tmp_path / "none"))
