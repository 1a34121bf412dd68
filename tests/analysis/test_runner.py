"""What makes runs and measurements, with real processes and measurements that cost nothing."""

import pytest
from conftest import ROOT

from keras_resnet.analysis.experiment import Experiment, Measurement
from keras_resnet.analysis.runner import FailedJob, make

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
    """One whose processes can import `probe`."""
    (tmp_path / "probe.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    return Experiment(str(ROOT / "configs/evidence/digits.yaml"), str(tmp_path / "runs"))


def test_what_runs_alone_has_a_new_process(experiment):
    """After others, which share one; and what already exists is not measured again."""
    shared = [Measurement("probe:process", (("name", name),)) for name in "ab"]
    alone = Measurement("probe:process", (("name", "c"),), alone=True)
    make(experiment, [alone, *shared], 1)
    found = [experiment.answer(each) for each in (*shared, alone)]
    assert found[0] == found[1] != found[2]
    make(experiment, [alone, *shared], 1)
    assert [experiment.answer(each) for each in (*shared, alone)] == found


def test_a_user_s_mistake_keeps_its_message_and_exit_code(experiment):
    with pytest.raises(FailedJob, match=r"^refuse: the file says nonsense$") as raised:
        make(experiment, [Measurement("probe:refuse")], 1)
    assert raised.value.exit_code == 2


def test_a_process_that_the_system_killed_is_named_with_what_helps(experiment):
    with pytest.raises(
        FailedJob, match=r"^die: its process was killed by signal 9; if memory was short, --set"
    ) as raised:
        make(experiment, [Measurement("probe:die")], 1)
    assert raised.value.exit_code == 137


def test_a_defect_in_a_worker_is_no_mistake_of_the_user_s(experiment):
    """It is raised as what it is, so that the command ends with the code of internal errors."""
    with pytest.raises(RuntimeError, match=r"ended with \d+; .*worker-0\.log says why"):
        make(experiment, [Measurement("probe:break_down")], 1)
    with open(f"{experiment.workdir}/worker-0.log") as log:
        assert "KeyError: 'nobody foresaw this'" in log.read()
