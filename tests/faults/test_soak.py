"""A long run needs no more memory, files or threads at its end than after its start (R16)."""

import subprocess
import sys
import time

import psutil
import pytest
from conftest import ROOT
from faults_rig import LONG


@pytest.mark.skipif(not LONG, reason="takes minutes")
def test_run_of_2000_steps_leaks_no_memory_files_or_threads(tmp_path, figure):
    folder = tmp_path / "run"
    changes = ("train.epochs=null", "train.steps=2000", "train.batch_size=16", "train.log_every=20")
    intervals = ("train.eval_every=40", "train.checkpoint_every=40")
    command = [
        sys.executable,
        "train.py",
        f"--workdir={folder}",
        *[f"--set={change}" for change in changes + intervals],
    ]
    with (tmp_path / "out").open("w") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out) as process:
        watched, samples = psutil.Process(process.pid), []
        while process.poll() is None:
            lines = (folder / "metrics.jsonl").read_text().count("\n") if (folder / "metrics.jsonl").exists() else 0
            if lines:
                try:
                    samples.append((lines * 20, watched.memory_info().rss, watched.num_fds(), watched.num_threads()))
                except psutil.Error:
                    break
            time.sleep(0.2)
    assert process.returncode == 0, (tmp_path / "out").read_text()
    # The first samples are after all tracing; the last ones are before the plots are drawn.
    first, last = (
        [sample for sample in samples if low <= sample[0] <= high] for low, high in ((200, 400), (1700, 1900))
    )

    def middle(samples, column):
        return sorted(sample[column] for sample in samples)[len(samples) // 2]

    growth = middle(last, 1) / middle(first, 1) - 1
    assert growth < 0.02
    assert middle(last, 2) <= middle(first, 2)
    assert middle(last, 3) <= middle(first, 3)
    files, threads = ((middle(first, column), middle(last, column)) for column in (2, 3))
    figure("R16", f"memory {growth:+.2%}, open files {files[0]} and {files[1]}, threads {threads[0]} and {threads[1]}")
