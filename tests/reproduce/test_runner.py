"""Tests the runner with real processes and trivial measurements."""

import pytest
from conftest import ROOT

from keras_resnet.reproduce.experiment import Experiment, Measurement, Training
from keras_resnet.reproduce.runner import FailedJob, _with_needs, _WorkerPool, make

MODULE = """
import os
from keras_resnet.errors import ConfigError

def process(experiment, name):
    return os.getpid()

def die(experiment):
    os.kill(os.getpid(), 9)

def refuse(experiment):
    raise ConfigError("the file says nonsense")

def break_down(experiment):
    raise KeyError("nobody foresaw this")
"""


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Returns an experiment whose processes can import `probe`."""
    (tmp_path / "probe.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    return Experiment(str(ROOT / "configs/evidence/digits.yaml"), str(tmp_path / "runs"))


@pytest.mark.slow
def test_make_starts_new_process_for_alone_measurement(experiment):
    """Other measurements share a process; existing answers are not measured again."""
    shared = [Measurement("probe:process", (("name", name),)) for name in "ab"]
    alone = Measurement("probe:process", (("name", "c"),), alone=True)
    make(experiment, [alone, *shared], 1)
    found = [experiment.answer(each) for each in (*shared, alone)]
    assert found[0] == found[1] != found[2]
    make(experiment, [alone, *shared], 1)
    assert [experiment.answer(each) for each in (*shared, alone)] == found


@pytest.mark.slow
def test_make_runs_jobs_of_one_file_once(experiment, capsys):
    """A measurement that differs in its estimated time alone has the same answer."""
    make(experiment, [Measurement("probe:process", (("name", "a"),), (), False, each) for each in (1.0, 2.0)], 2)
    assert "1 runs and measurements, 0 already complete" in capsys.readouterr().out


@pytest.mark.slow
def test_make_user_error_keeps_message_and_exit_code(experiment):
    with pytest.raises(FailedJob, match=r"^refuse: the file says nonsense$") as raised:
        make(experiment, [Measurement("probe:refuse")], 1)
    assert raised.value.exit_code == 2


@pytest.mark.slow
def test_make_killed_process_error_suggests_memory(experiment):
    with pytest.raises(
        FailedJob, match=r"^die: its process was killed by signal 9; if memory was short, --set"
    ) as raised:
        make(experiment, [Measurement("probe:die")], 1)
    assert raised.value.exit_code == 137


@pytest.mark.slow
def test_make_internal_error_of_worker_raises_runtime_error(experiment):
    """It is raised as an internal error, so the command exits with the code of internal errors."""
    with pytest.raises(RuntimeError, match=r"ended with \d+; .*worker-0\.log says why"):
        make(experiment, [Measurement("probe:break_down")], 1)
    with open(f"{experiment.workdir}/worker-0.log") as log:
        assert "KeyError: 'nobody foresaw this'" in log.read()


def test_run_waits_for_the_run_that_it_starts_from(experiment):
    """The first run comes first in the list, and is ready before the second, which waits for its results and test."""
    first = Training("scene_resnet14", 0, (), "scene_digits/trunk")
    second = Training("scene_resnet14", 0, (), "detection/scenes", first)
    measurement = Measurement("probe:process", (), (second,))
    assert list(dict.fromkeys(_with_needs([measurement]))) == [first, second, measurement]
    pool, folder = _WorkerPool(experiment, None, None, 1), experiment.folder(first)
    assert [pool._ready(job) for job in (first, second, measurement)] == [True, False, False]
    folder.make()
    for path, text in (
        (folder.results, '{"steps": 1, "validation": {}, "best": {}, "seconds": 1}'),
        (experiment.test_file(first), '{"error": 1.0}'),
    ):
        assert not pool._ready(second)
        with open(path, "w") as file:
            file.write(text)
    assert [pool._ready(job) for job in (first, second, measurement)] == [True, True, False]
