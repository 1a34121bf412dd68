"""Damaged images and records in the training data of a run (R9). `make test` tests the parts of this alone."""

import json
import shutil

import pytest
from conftest import TINY_RUN, run
from faults_rig import LONG

pytestmark = pytest.mark.skipif(not LONG, reason="tests/commands/test_folder_run.py and tests/data have its parts")

FLAGS = [
    f"--set={assignment}"
    for assignment in (
        *TINY_RUN,
        "train.steps=40",
        "train.eval_every=20",
        "data.image_size=32",
        "export.top_k=2",
        "data.validation_fraction=0",
        "data.test_fraction=0",
    )
]
PICTURES = {
    "bad": lambda content: content[:200] + b"\xff\xd9" * 200 + content[600:],
    "truncated": lambda content: content[: len(content) // 2],
    "text": lambda content: b"<html>not found</html>",
    "empty": lambda content: b"",
}


def train(name, workdir, *flags):
    return run("train.py", f"--workdir={workdir}", *FLAGS, f"--set=data.name={name}", *flags)


@pytest.fixture
def folder(photographs, tmp_path):
    shutil.copytree(photographs, tmp_path / "images")
    return tmp_path / "images"


@pytest.mark.parametrize("kind", PICTURES)
def test_train_with_a_damaged_image_exits_with_code_3(folder, tmp_path, figure, kind):
    path = sorted((folder / "china").iterdir())[7]
    path.write_bytes(PICTURES[kind](path.read_bytes()))
    process = train(f"folder:{folder}", tmp_path / "run")
    assert process.returncode == 3, process.stderr
    # Not always the last line: a thread that still decodes may print libjpeg's message after it.
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {path}: ")
    figure("R9", f"{kind} picture: exit code 3, {line.removeprefix(f'error: {path}: ')}")


def test_train_skips_damaged_images_up_to_max_skipped(folder, tmp_path, figure):
    for path, spoil in zip(sorted((folder / "china").iterdir()), PICTURES.values(), strict=False):
        path.write_bytes(spoil(path.read_bytes()))
    process = train(f"folder:{folder}", tmp_path / "run", "--set=data.on_unreadable_image=skip")
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["steps"], results["skipped"]) == (40, len(PICTURES))
    process = train(
        f"folder:{folder}", tmp_path / "few", "--set=data.on_unreadable_image=skip", "--set=data.max_skipped=3"
    )
    assert process.returncode == 3
    assert "more than data.max_skipped: 3" in process.stderr
    figure("R9", f"{len(PICTURES)} damaged pictures left out, 40 of 40 steps; with a limit of 3, exit code 3")


def test_train_with_an_empty_class_exits_with_code_3(folder, tmp_path):
    (folder / "nothing").mkdir()
    process = train(f"folder:{folder}", tmp_path / "run")
    assert process.returncode == 3, process.stderr
    assert 'the class "nothing" has no pictures' in process.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["a flipped bit", "cut off"])
def test_train_with_damaged_records_exits_with_code_3(folder, tmp_path, figure, kind):
    process = run("-m", "keras_resnet", "prepare-data", folder, tmp_path / "records")
    assert process.returncode == 0, process.stderr
    path = next((tmp_path / "records").glob("train-*"))
    content = bytearray(path.read_bytes())
    if kind == "cut off":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 4
    path.write_bytes(content)
    process = train(f"tfrecord:{tmp_path / 'records'}", tmp_path / "run")
    assert process.returncode == 3, process.stderr
    assert str(path) in process.stderr.splitlines()[-1]
    figure("R9", f"records, {kind}: exit code 3, {process.stderr.splitlines()[-1].removeprefix('error: ')}")
    if kind == "a flipped bit":
        process = train(f"tfrecord:{tmp_path / 'records'}", tmp_path / "skip", "--set=data.on_unreadable_image=skip")
        assert process.returncode == 0, process.stderr
        assert json.loads((tmp_path / "skip" / "results.json").read_text())["skipped"] == 1
