"""Tests the progress lines that an experiment prints."""

import re

import pytest

from keras_resnet import console
from keras_resnet.reproduce import runner
from keras_resnet.reproduce.experiment import Experiment, Measurement
from keras_resnet.reproduce.runner import ProgressDisplay


@pytest.fixture
def clock(monkeypatch):
    """Replaces `time` by a clock that advances slightly per call, and by `clock.wait`."""

    class Clock:
        now = 100.0

        def monotonic(self):
            self.now += 1e-7
            return self.now

        def wait(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(runner, "time", clock)
    monkeypatch.setattr(console, "time", clock)
    return clock


def test_progress_display_estimates_remaining_time(clock, tmp_path, capsys):
    """Two measurements of about 10 seconds run on a slow machine; the first estimate needs some finished work."""
    jobs = [Measurement("m:first", seconds=10.0), Measurement("m:second", seconds=10.0)]
    with ProgressDisplay(Experiment("paper.yaml", str(tmp_path)), jobs, jobs) as shown:
        clock.wait(30)  # until the processes have started
        shown.update(jobs[:1])
        clock.wait(40)
        shown.update(jobs[:1])
        shown.finished(jobs[0])
        clock.wait(30)
        shown.update([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 runs and measurements, 0 already complete")
    assert [re.split("  +", line) for line in lines[1:]] == [
        ["0/2", "first", "? left"],
        ["0/2", "first", "0:01:17 left"],  # 9.5 of 20 seconds' work took 70
        ["1/2", "0:01:40 left"],  # 10 of 20 took 100
    ]
