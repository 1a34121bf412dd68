"""Tests keras-resnet reproduce on runs of a few steps."""

import csv
import json
import re
import shutil
import signal

import pytest
from conftest import ROOT, in_process, prepare_cifar10, run

from keras_resnet.reproduce.experiment import Experiment, Training
from keras_resnet.reproduce.findings import FINDINGS

TINY = ("--set=train.steps=4", "--set=train.log_every=2", "--set=train.eval_every=4", "--set=train.batch_size=16")
ORDERINGS = ("--depths=20,32", "--seeds=0", *TINY, "--set=train.learning_rate=0")


def reproduce(*arguments, **kwargs):
    return run("-m", "keras_resnet", "reproduce", *arguments, **kwargs)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Returns (folder, finished process) of an experiment that SIGTERM stopped as its second pair of runs began."""
    folder = tmp_path_factory.mktemp("evidence")
    experiment = Experiment(
        str(ROOT / "configs/evidence/digits.yaml"), str(folder), tuple(each[6:] for each in ORDERINGS[2:])
    )
    first = experiment.test_file(Training("cifar_plain20"))
    return folder, reproduce("degradation", f"--workdir={folder}", *ORDERINGS, signals=[(first, 0, signal.SIGTERM)])


@pytest.fixture(scope="module")
def finished(stopped):
    """Returns (folder, process) of the same command, run again; its learning rate is 0, so nothing is learned."""
    folder, _ = stopped
    return folder, reproduce("degradation", f"--workdir={folder}", *ORDERINGS)


@pytest.mark.slow
def test_reproduce_sigterm_stops_all_processes(stopped):
    folder, process = stopped
    assert process.returncode == 143, process.stderr
    assert process.stderr.strip().startswith("stopped by SIGTERM; the runs have saved")
    assert not (folder / "report").exists()
    assert not list(folder.glob("*/.holder.json"))


@pytest.mark.slow
def test_reproduce_learning_rate_0_fails_all_checks(finished):
    folder, process = finished
    assert process.returncode == 1, process.stderr
    claims = re.findall(r"^  (holds|DOES NOT HOLD) +(.*?): ", process.stdout, re.MULTILINE)
    assert [verdict for verdict, _ in claims] == ["DOES NOT HOLD"] * 7
    assert claims[0][1] == "plain-32 has a higher training error than plain-20"
    assert (folder / "report/degradation.md").read_text().count("| **no** |") == 7


@pytest.mark.slow
def test_reproduce_resumes_existing_runs(finished):
    folder, process = finished
    assert re.search(r"^4 runs and measurements, [123] already complete", process.stdout, re.MULTILINE)
    logs = "".join(path.read_text() for path in folder.glob("cifar_*/log.txt"))
    assert logs.count("finished at step 4") == 4
    with open(folder / "report/degradation.csv", encoding="utf-8", newline="") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["cifar_plain20", "cifar_plain32", "cifar_resnet20", "cifar_resnet32"]
    (test,) = folder.glob("cifar_resnet20-*/test.json")
    assert float(rows["cifar_resnet20"]["test error (%)"]) == json.loads(test.read_text())["error"]
    assert rows["cifar_resnet20"]["the paper's, CIFAR-10 (%)"] == "8.75"


@pytest.mark.slow
def test_reproduce_report_from_existing_runs_does_not_train(finished):
    """A second command reads the finished runs, writes a report to a new folder and leaves the runs unchanged."""
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("cifar_*/*")}
    process = reproduce("degradation", f"--workdir={folder}", f"--output={folder}/again", *ORDERINGS)
    assert "all 4 runs and measurements already exist" in process.stdout
    assert (folder / "again/degradation-curves.png").stat().st_size > 10_000
    assert {path: path.stat().st_mtime_ns for path in folder.glob("cifar_*/*")} == before


@pytest.mark.slow
def test_reproduce_repeats_damaged_run(finished, tmp_path):
    folder, _ = finished
    copy = shutil.copytree(folder, tmp_path / "evidence")
    (test,) = copy.glob("cifar_plain32-*/test.json")
    whole = test.read_text()
    test.write_text(whole[:9])
    process = reproduce("degradation", f"--workdir={copy}", *ORDERINGS)
    assert "4 runs and measurements, 3 already complete" in process.stdout
    assert test.read_text() == whole


@pytest.mark.slow
def test_reproduce_degradation_paper_protocol(tmp_path):
    """--config=configs/cifar10/paper.yaml keeps the paper's settings; two steps on a miniature of the real set."""
    process = reproduce("degradation", "--depths=20", *paper_s_protocol(tmp_path))
    assert process.returncode == 1, process.stderr  # two steps teach nothing
    config = next((tmp_path / "runs").glob("cifar_plain20-seed1-*/config.yaml")).read_text()
    assert "name: tfds:cifar10" in config
    assert "weight_decay_on: all" in config
    assert "random_crop_padding: 4" in config


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_reproduce_every_finding_paper_protocol(tmp_path):
    """Runs all findings of CIFAR except bottleneck, whose ResNet-1202 at 32 pixels took more than 24 GB of memory.

    Detection and localization have recipes of their own, with a warm-up that is longer than these runs.
    """
    arguments = ("--depths=20", *paper_s_protocol(tmp_path))
    for name in FINDINGS:
        if name not in ("bottleneck", "detection", "localization"):
            process = reproduce(name, *arguments, timeout=1200)
            assert process.returncode == int(name != "complexity"), process.stderr
            assert (tmp_path / f"runs/report/{name}.md").is_file()
    assert "already exist" in reproduce("responses", *arguments).stdout


def paper_s_protocol(folder):
    """Returns arguments for the protocol of configs/cifar10/, except the number of steps and the batch size."""
    prepare_cifar10(folder / "cifar", 24)
    sets = [f"data.directory={folder}/cifar/sets", "train.steps=2", "train.batch_size=16", "train.log_every=1"]
    arguments = [f"--workdir={folder}/runs", "--seeds=1", f"--config={ROOT}/configs/cifar10/paper.yaml"]
    return [*arguments, *(f"--set={each}" for each in sets)]


@pytest.mark.slow
def test_reproduce_complexity_all_checks_hold(tmp_path):
    process = reproduce("complexity", f"--output={tmp_path}/out", f"--workdir={tmp_path}/runs")
    assert process.returncode == 0, process.stderr
    assert "DOES NOT HOLD" not in process.stdout
    with open(tmp_path / "out/complexity.csv", encoding="utf-8", newline="") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert float(rows["resnet50"]["MACs (1e9)"]) == pytest.approx(3.858, abs=5e-4)
    assert rows["cifar_resnet110"]["the paper's (1e6)"] == "1.7"
    assert rows["vgg19"]["layers"] == "19"


@pytest.mark.slow
def test_analyze_is_reproduce_with_a_line(tmp_path):
    """The command's former name has the same flags, output and exit code; the page names the command of today."""
    process = run("-m", "keras_resnet", "analyze", "complexity", f"--output={tmp_path}/out", "--workdir=my runs")
    assert process.returncode == 0, process.stderr
    command = f"keras-resnet reproduce complexity --output={tmp_path}/out '--workdir=my runs'"
    assert process.stderr.splitlines()[0] == f"analyze is now called reproduce: {command}"
    assert "ResNet-152 costs less than VGG-16 and VGG-19" in process.stdout
    assert f"- command: `{command}`" in (tmp_path / "out/complexity.md").read_text()
    assert run("-m", "keras_resnet", "analyze", "degredation").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: expected one finding: complexity, degradation"),
        (["degredation"], 'error: unknown finding "degredation"; did you mean "degradation" or "detection"?'),
        (
            ["degradation", "--depths=20,21"],
            "error: --depths=20,21: expected increasing numbers of (20, 32, 44",
        ),
        (["degradation", "--depths=56,20"], "error: --depths=56,20: expected increasing numbers of"),
        (["degradation", "--seeds=1,01"], "error: --seeds=1,01: expected different whole numbers"),
        (["degradation", "--seeds=x"], "error: --seeds=x: expected different whole numbers"),
        (["degradation", "--config=absent.yaml"], "error: --config=absent.yaml: "),
        (["degradation", "--set=train.stepz=4"], "error: --set: train.stepz: unknown key"),
        (
            ["degradation", "--set=train.seed=4"],
            "error: --set=train.seed=4: every run has its own train.seed here; --s",
        ),
        (
            ["highway", "--set=model.name=resnet50"],
            "error: --set=model.name=resnet50: every run has its own model.name",
        ),
        (["degradation", "--output={file}/report"], "error: --output={file}/report: cannot be written"),
        (["degradation", "--workdir={file}/runs"], "error: --workdir={file}/runs: cannot be written"),
    ],
)
def test_reproduce_user_error_is_one_line(arguments, message, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = [argument.format(file=tmp_path / "file") for argument in arguments]
    process = in_process("-m", "keras_resnet", "reproduce", *arguments)
    assert process.returncode in (2, 5), process.stderr
    assert process.stderr.splitlines()[-1].startswith(message.format(file=tmp_path / "file"))
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_reproduce_failed_run_names_run_and_cause(tmp_path):
    """The training process reads the data; its error ends the command with its exit code."""
    process = reproduce("degradation", f"--workdir={tmp_path}", *ORDERINGS, f"--set=data.name=folder:{tmp_path}/absent")
    assert process.returncode == 3
    assert re.search(r"^error: cifar_(plain|resnet)\d+ seed 0: .*absent", process.stderr, re.MULTILINE)
    assert len(process.stderr.strip().splitlines()) == 1
