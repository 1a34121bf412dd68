"""Tests train.py from the command line: files of a run, resuming, agreement of workers, refusals."""

import json
import os

import numpy as np
import pytest
from conftest import ROOT

from keras_resnet.runs.logs import read_metrics
from keras_resnet.weights.tensors import read_tensors


def metrics(folder):
    return read_metrics(os.path.join(folder, "metrics.jsonl"))


def test_finished_run_has_all_files(finished_run):
    there = {path.name for path in finished_run.iterdir()}
    assert there == {
        "config.yaml",
        "environment.json",
        "log.txt",
        ".lock",
        "checkpoints",
        "weights",
        "metrics.jsonl",
        "tensorboard",
        "curves.png",
        "description.json",
        "example_images.npz",
        "examples.png",
        "README.md",
        "results.json",
    }
    assert {path.name for path in (finished_run / "weights").iterdir()} == {"best.safetensors", "last.safetensors"}
    assert json.loads((finished_run / "environment.json").read_text())["tensorflow"]
    lines = metrics(finished_run)
    assert [line["step"] for line in lines] == [2, 4]
    assert {"train/loss", "train/error", "train/learning_rate", "validation/loss", "validation/error"} <= set(lines[-1])
    results = json.loads((finished_run / "results.json").read_text())
    assert results["steps"] == 4
    assert results["validation"]["loss"] == pytest.approx(lines[-1]["validation/loss"], rel=1e-6)


def test_checkpoint_iteration_equals_the_trained_steps(finished_run):
    arrays = read_tensors(str(finished_run / "checkpoints" / "step-00000004" / "variables.safetensors"))
    assert [int(value) for name, value in arrays.items() if name.endswith("/iteration")] == [4]


def test_train_again_says_already_finished_and_changes_nothing(finished_run, cli, tiny_run):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file()}
    process = cli("train.py", "--strategy=mirrored", f"--workdir={finished_run}", *tiny_run)
    assert process.returncode == 0, process.stderr
    assert "Already finished: 4 steps" in process.stdout
    assert before == {path: path.stat().st_mtime_ns for path in finished_run.rglob("*") if path.is_file()}


def test_train_with_another_seed_in_the_same_folder_is_refused(finished_run, cli, tiny_run):
    process = cli("train.py", f"--workdir={finished_run}", *tiny_run, "--set=train.seed=1")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].endswith(
        "holds another run: train.seed is 0 there and 1 here; name another folder, or omit --workdir"
    )


@pytest.mark.sampled("train.batch_size=32", "data.horizontal_flip=true")
@pytest.mark.parametrize("change", ["train.steps=6", "train.batch_size=32", "data.horizontal_flip=true"])
def test_train_refusal_names_a_flag_that_starts_from_the_weights(finished_run, cli, tiny_run, tmp_path, change):
    """The flag in the message trains the run's last weights with the new recipe in another folder."""
    process = cli("train.py", f"--workdir={finished_run}", *tiny_run, f"--set={change}")
    assert process.returncode == 2
    last = process.stderr.splitlines()[-1]
    assert f"holds another run: {change.partition('=')[0]} is " in last
    flag = f"--set=model.weights={finished_run}/weights/last.safetensors"
    assert last.endswith(f"; there, {flag} starts from its weights")
    if change == "train.steps=6":
        process = cli("train.py", f"--workdir={tmp_path / 'run'}", *tiny_run, f"--set={change}", flag)
        assert process.returncode == 0, process.stderr
        first = read_tensors(str(tmp_path / "run" / "weights" / "last.safetensors"))
        assert "Finished: 6 steps" in process.stdout
        assert f"{finished_run}/weights/last.safetensors" in process.stdout.partition("workdir")[0]
        assert set(first) == set(read_tensors(str(finished_run / "weights" / "last.safetensors")))


def test_finished_run_accepts_keys_that_affect_no_weight(finished_run, cli, tiny_run):
    before = (finished_run / "config.yaml").read_bytes()
    flags = ("--set=train.log_every=1", "--set=train.keep_checkpoints=5", "--set=export.top_k=2")
    process = cli("train.py", "--strategy=mirrored", f"--workdir={finished_run}", *tiny_run, *flags)
    assert process.returncode == 0, process.stderr
    assert "Already finished: 4 steps" in process.stdout
    further = f"To train it further: --workdir=NEW --set=model.weights={finished_run}/weights/last.safetensors"
    assert further in process.stdout.splitlines()
    assert (finished_run / "config.yaml").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["highway19", "cifar_highway20", pytest.param("cifar_preresnet164", marks=pytest.mark.slow)]
)
def test_highway_and_preactivation_networks_train_and_export(tmp_path, cli, tiny_run, name):
    arguments = [*tiny_run, f"--set=model.name={name}", "--set=train.learning_rate=0.01"]
    process = cli("train.py", "--strategy=mirrored", f"--workdir={tmp_path / 'run'}", *arguments)
    assert process.returncode == 0, process.stderr
    assert np.isfinite(metrics(tmp_path / "run")[-1]["validation/loss"])
    if name == "highway19":
        process = cli("export.py", f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'out'}")
        assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_resnet1202_trains(tmp_path, cli, tiny_run):
    arguments = [
        *tiny_run,
        "--set=model.name=cifar_resnet1202",
        "--set=train.steps=1",
        "--set=train.learning_rate=0.001",
    ]
    process = cli("train.py", f"--workdir={tmp_path / 'run'}", *arguments, timeout=600)
    assert process.returncode == 0, process.stderr
    assert np.isfinite(metrics(tmp_path / "run")[-1]["train/loss"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_train_in_mixed_precision_on_two_replicas(tmp_path, cli, tiny_run, precision):
    arguments = [*tiny_run, f"--set=train.precision={precision}", f"--workdir={tmp_path / 'run'}"]
    process = cli("train.py", "--strategy=mirrored", "--virtual_devices=2", *arguments)
    assert process.returncode == 0, process.stderr
    assert np.isfinite(metrics(tmp_path / "run")[-1]["validation/loss"])
    arrays = read_tensors(str(tmp_path / "run" / "weights" / "last.safetensors"))
    assert {str(value.dtype) for value in arrays.values()} == {"float32"}


@pytest.mark.slow
def test_train_ignores_the_keras_configuration_file(tmp_path, cli, tiny_run, finished_run):
    """Another image data format and backend in ~/.keras/keras.json change nothing."""
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first", "backend": "jax"}')
    folder = tmp_path / "run"
    process = cli(
        "train.py", "--strategy=mirrored", f"--workdir={folder}", *tiny_run, env={"KERAS_HOME": str(tmp_path)}
    )
    assert process.returncode == 0, process.stderr
    assert (folder / "metrics.jsonl").read_text() == (finished_run / "metrics.jsonl").read_text()


BAD = {
    "--strategy=mirord": 'error: --strategy: unknown strategy "mirord"; did you mean "mirrored"?',
    "--stratgy=mirrored": 'error: unknown flag "--stratgy"; did you mean "--strategy"?',
    "--set=model.name=resnet5": 'error: --set: model.name: unknown name "resnet5"; did you mean "resnet50"',
    "--set=train.lr=1": 'error: --set: train.lr: unknown key; did you mean "learning_rate"?',
    "--config=nowhere.yaml": "error: --config=nowhere.yaml: no such file or recipe",
    "--virtual_devices=3 --strategy=mirrored": "error: train.batch_size: 64 does not divide over 3 replicas; try 63",
    "--virtual_devices=2": "error: --virtual_devices=2: requires --strategy=mirrored, got --strategy=one_device",
    "--virtual_devices=-1": "error: flag --virtual_devices=-1: -1 is not a non-negative integer",
    "--require_gpus=many": "error: flag --require_gpus=many",
    "--strategy=multi_worker": "error: --strategy=multi_worker: the variable TF_CONFIG is not set",
    "--workdir=/dev/null/run": "error: --workdir=/dev/null/run: cannot be written, because of /dev/null",
    "--set=model.weights=none.safetensors": "error: model.weights: 'none.safetensors' is neither a file nor a name of",
    "digits": 'error: unexpected argument "digits"',
    "--set=train.jit_compile=true --set=train.precision=mixed_float16 --strategy=mirrored": "error: train.jit_compile",
}


@pytest.mark.sampled("--set=train.lr=1", "--virtual_devices=-1")
@pytest.mark.parametrize(("flags", "message"), BAD.items(), ids=BAD)
def test_train_with_wrong_flags_fails_before_tensorflow_is_loaded(cli, tmp_path, flags, message):
    """One line, exit code 2 and no written file, also where TensorFlow cannot be imported."""
    (tmp_path / "tensorflow.py").write_text("raise AssertionError('TensorFlow was imported')")
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    process = cli(ROOT / "train.py", *flags.split(), cwd=tmp_path, env=env, fresh=True)
    assert process.returncode == 2
    assert process.stderr.startswith(message), process.stderr
    assert process.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "env", "message"),
    [
        (["--require_gpus=64"], {}, "--require_gpus=64: TensorFlow sees"),
        (["--strategy=multi_worker"], {"TF_CONFIG": "{"}, "TF_CONFIG: expected, for example"),
        ([], {"KERAS_BACKEND": "jax"}, "KERAS_BACKEND=jax: this command needs tensorflow"),
        (["--set=export.top_k=11"], {}, "export.top_k: 11 is more than the 10 classes of digits"),
        (["--set=model.weights=Makefile"], {}, "Makefile: not a complete safetensors file"),
    ],
)
def test_train_with_wrong_devices_or_data_exits_with_code_2(cli, tmp_path, tiny_run, flags, env, message):
    workdir = [] if any("workdir" in flag for flag in flags) else [f"--workdir={tmp_path / 'run'}"]
    process = cli("train.py", *tiny_run, *workdir, *flags, env=env)
    assert process.returncode == 2, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
