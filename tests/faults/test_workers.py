"""Two workers equal two replicas, and one writes; when one is lost, the other ends, and both resume (R11, R12)."""

import signal
import time

import pytest
from cluster_rig import Cluster
from faults_rig import FLAGS, LONG, differences, train

from keras_resnet.runs.checkpoints import committed
from keras_resnet.runs.logs import read_metrics


@pytest.fixture(scope="module")
def workers_run(tmp_path_factory):
    """Returns the folder of an undisturbed run of two workers."""
    folder = tmp_path_factory.mktemp("workers") / "run"
    codes, outputs, errors = Cluster(folder, FLAGS).wait()
    assert codes == [0, 0], errors
    assert "Finished: 48 steps" in outputs[0]
    assert outputs[1] == ""  # the chief speaks for all
    return folder


@pytest.mark.slow
def test_two_workers_give_the_metrics_of_two_replicas(workers_run, tmp_path):
    process = train(tmp_path / "run", "--strategy=mirrored", "--virtual_devices=2")
    assert process.returncode == 0, process.stderr
    assert "64 = 2 x 32" in process.stdout
    pairs = zip(
        read_metrics(workers_run / "metrics.jsonl"), read_metrics(tmp_path / "run" / "metrics.jsonl"), strict=True
    )
    for ours, theirs in list(pairs)[:4]:  # rounding grows with the steps
        assert ours == pytest.approx(theirs, rel=1e-4)


LOSSES = {"a worker": (1, signal.SIGKILL), "the chief": (0, signal.SIGKILL), "a worker hangs": (1, signal.SIGSTOP)}


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES if LONG else ["a worker"])
def test_lost_worker_ends_the_other_and_both_resume(workers_run, tmp_path, figure, loss):
    """The second start uses SLURM: the way that workers find each other is not part of a run."""
    folder = tmp_path / "run"
    worker, number = LOSSES[loss]
    cluster = Cluster(folder, FLAGS)
    began = cluster.when(folder / "checkpoints" / "step-00000005" / "MANIFEST.json", worker, number)
    other = cluster.processes[1 - worker]
    assert other.wait(timeout=90) == 6
    seconds = time.monotonic() - began
    cluster.processes[worker].kill()
    _, _, errors = cluster.wait()
    assert errors[1 - worker].splitlines()[-1].startswith("error: another worker is gone (")
    codes, outputs, errors = Cluster(folder, FLAGS, slurm=True).wait()
    assert codes == [0, 0], errors
    assert "  resuming  " in outputs[0]
    assert differences(workers_run, folder) == []
    figure("R11", f"{loss}: the other ended after {seconds:.0f} s with 6, both went on, bit-identical")


@pytest.mark.skipif(not LONG, reason="one worker has the same")
def test_signal_to_one_worker_stops_all_workers(workers_run, tmp_path, figure):
    folder = tmp_path / "run"
    cluster = Cluster(folder, FLAGS)
    cluster.when(folder / "metrics.jsonl", 1, signal.SIGTERM)
    codes, _, errors = cluster.wait()
    assert codes == [143, 143], errors
    codes, _, errors = Cluster(folder, FLAGS).wait()
    assert codes == [0, 0], errors
    assert differences(workers_run, folder) == []
    figure("R5", "one of two workers told: both saved the same step and ended with 143, bit-identical after it")


@pytest.mark.skipif(not LONG, reason="R2 has the same with one process")
def test_resume_with_another_number_of_replicas(tmp_path, figure):
    """A run of one replica resumes with two: the same samples, and losses that differ only by rounding."""
    # Random layers draw their masks by replica.
    changes = (
        "model.drop_path_rate=0",
        "train.batch_norm=synchronized",
        "train.log_every=1",
        "train.learning_rate=0.001",
    )
    flags = [f"--set={change}" for change in changes]
    one, two = tmp_path / "one", tmp_path / "two"
    assert train(one, *flags).returncode == 0
    assert train(two, *flags, fault_at="training.fit:_Run._settle:before:22:kill").returncode == -signal.SIGKILL
    step = committed(str(two / "checkpoints"))[0][0]
    process = train(two, *flags, "--strategy=mirrored", "--virtual_devices=2")
    assert process.returncode == 0, process.stderr
    assert f"from step {step}" in process.stdout
    pairs = list(zip(read_metrics(one / "metrics.jsonl"), read_metrics(two / "metrics.jsonl"), strict=True))
    worst = max(abs(a["train/loss"] / b["train/loss"] - 1) for a, b in pairs[step : step + 16])
    assert worst < 1e-5
    figure("R6", f"1 to 2 replicas at step {step}: losses of the next 16 steps within {worst:.1e}")
