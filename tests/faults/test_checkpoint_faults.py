"""Checkpoints whose writer is killed, that are damaged, of another run, or on a full disk (R4, R7, R8)."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import GOLDEN, ROOT
from faults_rig import LONG, differences, train

from keras_resnet.config import first_difference, load_config
from keras_resnet.runs.checkpoints import (
    RunState,
    committed,
    network_arrays,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from keras_resnet.weights.tensors import read_tensors

SAVE_FOREVER = """
import itertools, sys
import numpy as np
from keras_resnet.runs.checkpoints import Checkpoint, prune, save_checkpoint
for step in itertools.count(1):
    save_checkpoint(sys.argv[1], Checkpoint(step, {"a": np.full(100_000, step, np.int64)}, {"b": step}))
    prune(sys.argv[1], step, keep=2)
"""


def test_kill_while_saving_leaves_only_complete_checkpoints(tmp_path, figure):
    """Every committed checkpoint is complete, and no other is visible."""
    times, kills, steps = random.Random(0), 50 if LONG else 5, 0
    folder = str(tmp_path / "checkpoints")
    for _ in range(kills):
        there = {step for step, _ in committed(folder)}
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, folder], cwd=ROOT)
        while {step for step, _ in committed(folder)} <= there:  # until it saves
            time.sleep(0.005)
        time.sleep(times.uniform(0, 0.1))
        process.kill()
        process.wait()
        for step, path in committed(folder):
            assert read_checkpoint(path).state == {"b": step}
            assert (read_checkpoint(path).arrays["a"] == step).all()
        steps += newest_checkpoint(folder, warn=pytest.fail).step
        shutil.rmtree(folder)
    figure("R4", f"{kills} kills, {steps} checkpoints, none half")


@pytest.fixture(scope="module")
def checkpoint(whole_run):
    """Returns a complete checkpoint of a real run."""
    return max((whole_run / "checkpoints").glob("step-*"))


def test_checkpoint_with_a_flipped_bit_is_skipped(checkpoint, tmp_path, figure):
    flips, places = 200 if LONG else 40, random.Random(0)
    folder = tmp_path / checkpoint.name
    shutil.copytree(checkpoint, folder)
    files = sorted(folder.iterdir())
    for i in range(flips):
        path = files[i % len(files)]  # the small files as often as the large one
        content = path.read_bytes()
        at, bit = places.randrange(len(content)), 1 << places.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        warnings = []
        assert newest_checkpoint(str(tmp_path), warnings.append) is None
        assert path.name in warnings[0]
        path.write_bytes(content)
    assert newest_checkpoint(str(tmp_path), pytest.fail).step == 48
    figure("R8", f"{flips} flipped bits in {len(files)} files, 0 loaded")


DAMAGES = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
    "garbage": lambda path: path.write_text('{"step": 45, "files": {}}'),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES if LONG else ["truncated"])
def test_run_resumes_from_the_checkpoint_before_a_damaged_one(whole_run, tmp_path, figure, damage):
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    (folder / "results.json").unlink()
    damaged = folder / "checkpoints" / "step-00000048" / "variables.safetensors"
    DAMAGES[damage](damaged)
    process = train(folder)
    assert process.returncode == 0, process.stderr
    warnings = [line for line in process.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"WARNING: skipping a damaged checkpoint: {damaged}: ")
    assert "from step 45" in process.stdout
    assert differences(whole_run, folder) == []
    figure("R8", f"{damage}: went on from the one before, bit-identical")


@pytest.mark.slow
def test_resume_refuses_a_checkpoint_of_another_run(whole_run, tmp_path):
    """The checkpoint is valid, but of another run and network: one line names the first differences."""
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    (folder / "results.json").unlink()
    ours = read_checkpoint(str(folder / "checkpoints" / "step-00000048"))
    arrays = dict(ours.arrays)
    arrays["stem_conv/kernel"] = np.zeros((3, 3, 1, 7), np.float32)
    config = json.loads(json.dumps(ours.config))
    config["train"]["seed"] = 1
    foreign = save_checkpoint(str(folder / "checkpoints"), type(ours)(60, arrays, ours.state, config))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    process = train(folder)
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1] == (
        f"error: {foreign}: a checkpoint of another run: train.seed is 1 there and 0 here; its variables: "
        "stem_conv/kernel has shape (3, 3, 1, 7), the model's is (3, 3, 1, 16). Move it away, or name another --workdir"
    )
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.slow
def test_full_disk_while_saving_keeps_earlier_checkpoints(whole_run, tmp_path, figure):
    folder = tmp_path / "run"
    process = train(folder, fault_at="runs.checkpoints:save_checkpoint:before:4:full")
    assert process.returncode == 5, process.stderr
    line = process.stderr.splitlines()[-1]
    assert line.startswith(f"error: {folder}/checkpoints: cannot be written (File too large): a checkpoint takes ")
    assert line.endswith(" are free; the checkpoints before it are untouched")
    assert newest_checkpoint(str(folder / "checkpoints"), warn=pytest.fail).step == 8
    if LONG:
        assert train(folder).returncode == 0
        assert differences(whole_run, folder) == []
    figure("R7", "exit code 5, the checkpoint before intact" + ", bit-identical after it" * LONG)


@pytest.mark.slow
def test_full_disk_is_reported_before_the_first_step(tmp_path):
    process = train(tmp_path / "run", fault_at="runs.saver:Saver.self_check:before:1:full")
    assert process.returncode == 5, process.stderr
    assert f"a checkpoint takes {3.1 if LONG else 0.9} MiB" in process.stderr.splitlines()[-1]
    assert "step 1" not in process.stdout


@pytest.fixture
def almost_finished(whole_run, tmp_path):
    """Returns a copy of the undisturbed run in the state of a kill right before its end."""
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    (folder / "results.json").unlink()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("best", ["lost", "there"] if LONG else ["lost"])
def test_run_resumes_with_other_files_damaged(almost_finished, whole_run, best):
    """Resuming needs none of these files; leftovers of crashes are removed."""
    (almost_finished / "environment.json").write_text("{")
    (almost_finished / "README.md").unlink()
    (almost_finished / "log.txt").unlink()
    (almost_finished / "log.txt").mkdir()
    (almost_finished / ".holder.json").write_text("[1]")
    (almost_finished / "weights" / "best.safetensors.tmp-host-1").touch()
    (almost_finished / "checkpoints" / "step-00000012").touch()
    if best == "lost":
        (almost_finished / "weights" / "best.safetensors").unlink()
    process = train(almost_finished)
    assert process.returncode == 0, process.stderr
    assert differences(whole_run, almost_finished) == []
    assert (almost_finished / "README.md").exists()
    assert not list(almost_finished.rglob("*.tmp-*"))


@pytest.mark.slow
def test_run_with_only_damaged_checkpoints_does_not_start_over(almost_finished):
    for path in almost_finished.glob("checkpoints/*/state.json"):
        path.write_text("{}")
    process = train(almost_finished)
    assert process.returncode == 2
    line = process.stderr.splitlines()[-1]
    assert line.endswith("checkpoints is whole; move the folder away to start over"), line
    assert process.stderr.count("WARNING") == len(list(almost_finished.glob("checkpoints/step-*")))


def test_resume_refuses_an_invalid_divergences_file(almost_finished):
    (almost_finished / "divergences.json").write_text('[{"stepp": 3}]')
    process = train(almost_finished)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].endswith("divergences.json: is not a run's file; move it away to continue")


@pytest.mark.slow
def test_run_that_lost_its_best_weights_reports_the_last(almost_finished):
    """The checkpoint of the best step is lost too: the last weights replace it."""
    last = read_checkpoint(str(almost_finished / "checkpoints" / "step-00000048"))
    last.state["best"]["step"] = 41
    save_checkpoint(str(almost_finished / "checkpoints"), last)
    process = train(almost_finished)
    assert process.returncode == 0, process.stderr
    assert "the best weights, of step" in process.stderr
    assert json.loads((almost_finished / "results.json").read_text())["best"]["step"] == 48


@pytest.mark.slow
def test_stopped_run_on_a_full_disk_does_not_claim_to_be_saved(tmp_path):
    """The run continues with a full disk and then gets a stop signal."""
    folder = tmp_path / "run"
    process = train(
        folder,
        "--set=recovery.on_save_error=continue",
        "--set=train.steps=4000",
        fault_at="runs.checkpoints:save_checkpoint:before:2:full",
        signals=[(folder / "metrics.jsonl", 0.5, signal.SIGTERM)],
    )
    assert process.returncode == 5, process.stderr
    assert "is saved" not in process.stderr
    assert newest_checkpoint(str(folder / "checkpoints"), warn=pytest.fail).step == 0


@pytest.mark.skipif(not LONG, reason="the short form has the same with a file limit")
def test_run_with_on_save_error_continue_trains_without_checkpoint(whole_run, tmp_path):
    folder = tmp_path / "run"
    process = train(
        folder, "--set=recovery.on_save_error=continue", fault_at="runs.checkpoints:save_checkpoint:before:4:full"
    )
    assert process.returncode == 5  # the last weights have no room either
    assert process.stderr.count("WARNING") > 3
    assert (folder / "metrics.jsonl").read_text() == (whole_run / "metrics.jsonl").read_text()


@pytest.mark.skipif(not LONG, reason="needs the right to mount")
def test_full_tmpfs_ends_the_run_with_exit_code_5(whole_run, tmp_path, figure):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False).returncode:
        pytest.skip("may not mount")
    try:
        process = train(folder / "run")
        assert process.returncode == 5, process.stderr
        assert "No space left on device" in process.stderr.splitlines()[-1]
        step = newest_checkpoint(str(folder / "run" / "checkpoints"), warn=pytest.fail).step
        figure("R7", f"8 MiB: exit code 5, step {step} intact")
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_second_run_in_a_locked_folder_is_refused(tmp_path, figure):
    from keras_resnet.runs.folder import RunFolder
    from keras_resnet.runs.lock import locked

    folder = tmp_path / "run"
    assert train(folder, fault_at="runs.saver:Saver.self_check:after:1:kill").returncode == -signal.SIGKILL
    with locked(RunFolder(str(folder)), lambda text: None):
        process = train(folder)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].endswith(
        f"process {os.getpid()} on {os.uname().nodename} trains there; wait for it, end it, or name another folder"
    )
    process = train(folder, signals=[(folder / "metrics.jsonl", 0, signal.SIGTERM)])
    assert process.returncode == 143
    assert "is gone" not in process.stdout
    figure("R17", "refused in one line; a killed process's lock is taken over")


def test_checkpoint_of_format_1_is_read(checkpoint, figure):
    """Every later version resumes from format 1, and keeps its variable names."""
    golden = newest_checkpoint(str(GOLDEN / "checkpoint_format_1"), warn=pytest.fail)
    assert golden.step == 7
    np.testing.assert_array_equal(golden.arrays["stem_conv/kernel"], np.arange(12, dtype=np.float32).reshape(3, 4) / 7)
    state = RunState.from_json(golden.state | {"step": golden.step, "of a later version": 1})
    assert (state.pending, state.best["step"], state.skipped) == (
        {"loss": 1.25, "steps": 1.0},
        5,
        ["photos/a.jpg: is empty"],
    )
    assert first_difference(golden.config, load_config("configs/digits/resnet20.yaml").model_dump(mode="json")) is None
    shapes = {name: list(value.shape) for name, value in read_checkpoint(str(checkpoint)).arrays.items()}
    of_resnet20 = json.loads((GOLDEN / "checkpoint_variables.json").read_text())
    assert shapes == {
        name: shape for name, shape in of_resnet20.items() if not re.search("block[23]|random/[3-9]", name)
    }
    figure("R18", "format 1 is read; names and shapes of a run's variables are those of its first version")


def test_checkpoint_gives_the_averaged_weights_of_its_run(whole_run, checkpoint):
    """The averages in the checkpoint equal weights/last.safetensors, which the network wrote."""
    last = read_tensors(str(whole_run / "weights" / "last.safetensors"))
    read = read_checkpoint(str(checkpoint))
    arrays, found = read.arrays, network_arrays(read)
    assert set(found) == set(last)
    for name, value in last.items():
        np.testing.assert_array_equal(found[name], value)
    assert not np.array_equal(arrays["stem_conv/kernel"], last["stem_conv/kernel"])


@pytest.mark.slow
def test_checkpoint_with_loss_scaling_gives_the_averaged_weights(tmp_path):
    flags = ("--set=train.precision=mixed_float16", "--set=train.steps=10", "--set=train.eval_every=5")
    process = train(tmp_path / "run", "--strategy=mirrored", "--virtual_devices=2", *flags)
    assert process.returncode == 0, process.stderr
    last = read_tensors(str(tmp_path / "run" / "weights" / "last.safetensors"))
    read = newest_checkpoint(str(tmp_path / "run" / "checkpoints"), pytest.fail)
    found = network_arrays(read)
    assert set(found) == set(last)
    for name, value in last.items():
        np.testing.assert_array_equal(found[name], value)
    assert not np.array_equal(read.arrays["stem_conv/kernel"], last["stem_conv/kernel"])
