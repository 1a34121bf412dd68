"""Folders without atomic rename, such as object stores: `ram://` through tf.io.gfile stands for gs://."""

import json
import sys
import uuid

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY_RUN

import keras_resnet.training.fit  # noqa: F401 (whose modules `store` looks through)
from keras_resnet import files
from keras_resnet.commands.runs import load_run
from keras_resnet.commands.train import train
from keras_resnet.errors import ConfigError
from keras_resnet.runs.checkpoints import Checkpoint, newest_checkpoint, prune, save_checkpoint
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.lock import locked


@pytest.fixture
def store(monkeypatch):
    """Returns a folder on ram:// whose files are replaced on writing, as in an object store; ram:// itself appends."""
    real = files.write_atomically

    def replace(path, content):
        if files.is_remote(path) and tf.io.gfile.exists(path):
            tf.io.gfile.remove(path)
        real(path, content)

    users = [module for name, module in sys.modules.items() if name.startswith("keras_resnet")]
    for module in users:
        if getattr(module, "write_atomically", None) is real:
            monkeypatch.setattr(module, "write_atomically", replace)
    return f"ram://{uuid.uuid4().hex}"


class Crash(BaseException):
    """Ends a process, for any code that runs in it."""


def checkpoint(step, value):
    return Checkpoint(step, {"a": np.full(100, value)}, {"value": value})


WRITES = ("write_atomically", "remove", "remove_folder", "make_folder")


def crash_after(monkeypatch, operations):
    """Allows this number of operations on the store, then raises Crash."""
    left = iter(range(operations))

    def limited(function):
        def act(*args):
            if next(left, None) is None:
                raise Crash
            return function(*args)

        return act

    for name in WRITES:
        real = getattr(files, name)
        for module in (files, "keras_resnet.runs.checkpoints"):
            target = module if module is files else __import__(module, fromlist=["x"])
            if hasattr(target, name):
                monkeypatch.setattr(target, name, limited(real))


@pytest.mark.parametrize("step", [2, 1], ids=["new", "in place of a damaged one"])
def test_crash_while_saving_to_a_store_leaves_a_complete_checkpoint(store, monkeypatch, step):
    """Tests a crash after every number of store operations of a save."""
    found = []
    for operations in range(30):
        folder = f"{store}/{operations}"
        save_checkpoint(folder, checkpoint(0, 0))
        save_checkpoint(folder, checkpoint(1, 1))
        with monkeypatch.context() as patch:
            crash_after(patch, operations)
            try:
                save_checkpoint(folder, checkpoint(step, 2))
                prune(folder, step, keep=1)
                ended = True
            except Crash:
                ended = False
        newest = newest_checkpoint(folder, warn=lambda _: None)
        assert (newest.arrays["a"] == newest.state["value"]).all()
        found.append(newest.state["value"])
        if ended:
            break
    assert ended
    assert set(found) == ({1, 2} if step == 2 else {0, 1, 2})
    assert found[-1] == 2


@pytest.mark.slow
def test_run_on_a_store_resumes_and_opens_as_a_model(store, capfd):
    workdir = f"{store}/run"
    settings = [*TINY_RUN, "train.checkpoint_every=1"]
    train("configs/digits/resnet20.yaml", [*settings, "train.steps=4"], workdir=workdir)
    folder = RunFolder(workdir)
    whole = {path: files.read(path) for path in (folder.metrics, folder.last_weights, folder.best_weights)}
    assert [json.loads(line)["step"] for line in whole[folder.metrics].splitlines()] == [2, 4]
    assert folder.read_results()["steps"] == 4
    assert files.names(folder.checkpoints) == ["step-00000002", "step-00000003", "step-00000004"]

    # The state after a crash between the last checkpoint's files and its manifest.
    files.remove(folder.results)
    files.remove(f"{folder.checkpoints}/step-00000004/MANIFEST.json")
    train("configs/digits/resnet20.yaml", [*settings, "train.steps=4"], workdir=workdir)
    out = capfd.readouterr()
    assert "from step 3" in out.out
    assert "step-00000004" in out.err
    assert whole == {path: files.read(path) for path in whole}
    assert "resuming from step 3" in files.read(folder.log).decode()
    assert load_run(workdir).step in (2, 4)
    with pytest.raises(ConfigError, match=r"holds another run: train.steps is 4 there and 5 here"):
        train("configs/digits/resnet20.yaml", [*settings, "train.steps=5"], workdir=workdir)


def test_store_lock_is_exclusive_until_its_process_is_silent(store, monkeypatch):
    monkeypatch.setattr("keras_resnet.runs.lock.RENEW_EVERY", 0.05)
    monkeypatch.setattr("keras_resnet.runs.lock.SILENT_AFTER", 0.3)
    folder = RunFolder(store)
    tf.io.gfile.makedirs(store)
    said = []
    with (
        locked(folder, said.append),
        pytest.raises(ConfigError, match=r"process \d+ on .* trains there"),
        locked(folder, said.append),
    ):
        pass
    assert not files.is_file(folder.holder)
    files.write_atomically(folder.holder, json.dumps({"host": "elsewhere", "pid": 1, "said": "x"}).encode())
    with locked(folder, said.append):
        assert json.loads(files.read(folder.holder))["host"] != "elsewhere"
    assert said[-1] == "waiting 0.3 s, whether process 1 on elsewhere still trains here"
