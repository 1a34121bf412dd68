"""Tests verify-data and prepare-data as a user types them."""

import csv
import re

import pytest
from conftest import in_process
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Returns a folder of two classes of ten photographs, 80 x 60."""
    folder = tmp_path_factory.mktemp("data") / "my photos"
    for label, picture in zip(("flower", "temple"), reversed(load_sample_images().images), strict=True):
        (folder / label).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(picture[20 * i :, 30 * i :]).crop((0, 0, 80, 60)).save(folder / label / f"{i}.jpg")
    return folder


@pytest.mark.slow
def test_prepare_data_then_verify_data_finds_nothing(cli, photos, tmp_path):
    output = tmp_path / "records"
    process = cli("-m", "keras_resnet", "prepare-data", photos, output, "--max_side=64", "--validation_fraction=0.2")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    lines = [line for line in process.stdout.splitlines() if not line.startswith("prepared ")]  # progress
    assert re.match(r"20 images \(train 14, validation 4, test 2\) in \d+ seconds: .*records", lines[0])
    assert re.fullmatch(r"  images    0\.\d MB", lines[1])
    assert re.fullmatch(r"  records   0\.\d MB in 3 files", lines[2])
    assert lines[-1] == f"Next: keras-resnet train --set data.name=tfrecord:{output}"

    process = cli("-m", "keras_resnet", "verify-data", f"tfrecord:{output}")
    assert process.returncode == 0, process.stderr
    assert re.search(r"^train +14 +2 +48 x 64 +48 x 64 +48 x 64$", process.stdout, re.M)
    assert re.search(r"^20 images in 3 splits, 2 classes, \d+ seconds: nothing found$", process.stdout, re.M)


@pytest.mark.slow
def test_verify_data_findings_exit_with_code_3(cli, photos, tmp_path):
    folder = tmp_path / "photos"
    for label in ("flower", "temple"):
        (folder / label).mkdir(parents=True)
        for path in (photos / label).iterdir():
            (folder / label / path.name).write_bytes(path.read_bytes())
    for i in range(60):
        (folder / "flower" / f"[red]{i}.jpg").write_bytes(b"")
    cut = folder / "temple/3.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    process = cli(
        "-m",
        "keras_resnet",
        "verify-data",
        f"folder:{folder}",
        "--set=data.validation_fraction=0",
        "--set=data.test_fraction=0",
        f"--csv={tmp_path / 'findings.csv'}",
    )
    assert process.returncode == 3, process.stderr
    assert process.stderr == ""
    assert re.search(r"^empty +60$", process.stdout, re.M)
    assert re.search(r"^damaged +1$", process.stdout, re.M)
    assert f"empty  train: {folder}/flower/[red]1.jpg: has 0 bytes\n" in process.stdout
    assert process.stdout.count("has 0 bytes") == 50
    assert "... and 11 more" in process.stdout
    assert re.search(r"^80 images in 1 splits, 2 classes, \d+ seconds: 61 findings$", process.stdout, re.M)
    with open(tmp_path / "findings.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["kind", "split", "source", "what"]
    assert len(rows) == 62
    assert ["damaged", "train", str(cut), "is a truncated or damaged JPEG"] in rows

    process = cli("-m", "keras_resnet", "prepare-data", folder, tmp_path / "records")
    assert process.returncode == 3
    assert re.fullmatch(
        r"error: .*\.jpg: (has 0 bytes|is a trun.*); --on_unreadable_image=skip skips .*", process.stderr.strip()
    )

    arguments = ("prepare-data", folder, tmp_path / "records", "--on_unreadable_image=skip", "--test_fraction=0")
    process = cli("-m", "keras_resnet", *arguments, "--validation_fraction=0")
    assert process.returncode == 0
    assert len(re.findall(r"^WARNING: skipped: .*\.jpg: ", process.stderr, re.M)) == 61
    assert "  skipped   61 unreadable images" in process.stdout
    assert process.stdout.splitlines()[-1].endswith("--set data.validation_fraction=0 --set data.test_fraction=0")


@pytest.mark.slow
def test_verify_data_digits_finds_nothing(cli):
    process = cli("-m", "keras_resnet", "verify-data", "digits")
    assert process.returncode == 0, process.stderr
    assert "1,797 images in 3 splits, 10 classes" in process.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify-data"], 2, "expected one data set"),
        (["verify-data", "digit"], 2, 'unknown name "digit"; did you mean "digits"?'),
        (["verify-data", "digits", "--set=train.seed=1"], 2, "expected data.key=value"),
        (["verify-data", "digits", "--set=data.clases=1"], 2, 'data.clases: unknown key; did you mean "classes"?'),
        (["verify-data", "digits", "--csv=nowhere/f.csv"], 2, "there is no folder nowhere"),
        (["verify-data", "folder:nowhere"], 3, "folder:nowhere: no such folder"),
        (["prepare-data", "photos"], 2, "expected two folders"),
        (["prepare-data", "docs", "x", "--quality=80"], 2, "--quality=80: requires --max_side"),
        (["prepare-data", "docs", "x", "--test_fraction=1"], 2, "--test_fraction: data.test_fraction: expected"),
        (["prepare-data", "docs", "tests"], 2, "tests: already exists and is not an empty folder; name another"),
    ],
)
def test_data_commands_user_error_is_one_line(arguments, code, message):
    process = in_process("-m", "keras_resnet", *arguments)
    assert process.returncode == code, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
