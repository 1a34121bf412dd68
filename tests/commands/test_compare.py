"""Tests keras-resnet compare on folders that train.py wrote and on damaged copies."""

import csv
import json
import os
import re
import shutil

import pytest
from conftest import in_process, run


@pytest.fixture(scope="module")
def runs(finished_run, tmp_path_factory):
    """Returns a folder of runs in every state; two are in a subfolder, and one has a link."""
    root = tmp_path_factory.mktemp("results") / "runs"

    def copy(name):
        return shutil.copytree(finished_run, root / name)

    copy("finished [bold]")  # rich would read this as markup
    going = copy("deeper/going")
    (going / "results.json").unlink()
    (going / "checkpoints" / "step-00000004").rename(going / "checkpoints" / "step-00000001")
    metrics = (going / "metrics.jsonl").read_text().splitlines(keepends=True)
    (going / "metrics.jsonl").write_text(metrics[0] + metrics[1][:20])  # as read during a write
    fresh = copy("deeper/fresh")
    (fresh / "results.json").unlink()
    (fresh / "metrics.jsonl").unlink()
    shutil.rmtree(fresh / "checkpoints")
    _alter_config(copy("bad_config"), "batch_size: 16", "batch_size: none")
    (copy("bad_results") / "results.json").write_text('{"steps": 4, "validation"')
    (copy("no_versions") / "environment.json").unlink()

    known = copy("known")
    _alter_config(known, "name: digits", "name: tfds:cifar10")
    figures = json.loads((known / "results.json").read_text())
    figures["validation"] |= {"error": 8.456, "top5_error": 1.25}
    figures["best"]["validation"] |= {"error": 8.123, "top5_error": 1.126}
    (known / "results.json").write_text(json.dumps(figures))
    shutil.copytree(known, root / "worse")
    figures["best"]["validation"]["error"] = 10.5
    (root / "worse" / "results.json").write_text(json.dumps(figures))
    _alter_config(
        copy("published"), "name: cifar_resnet20", "name: resnet50", "name: digits", "name: tfds:imagenet2012"
    )
    (root / "latest").symlink_to("known")
    return root


def _alter_config(folder, *changes):
    text = (folder / "config.yaml").read_text()
    for before, after in zip(changes[::2], changes[1::2], strict=True):
        assert before in text
        text = text.replace(before, after)
    (folder / "config.yaml").write_text(text)


@pytest.fixture(scope="module")
def table(runs, tmp_path_factory):
    """Returns (the finished process, {run name: CSV row} in the order of the file)."""
    path = tmp_path_factory.mktemp("csv") / "results.csv"
    process = in_process("-m", "keras_resnet", "compare", runs, f"--csv={path}", env={"COLUMNS": "60"})
    assert process.returncode == 0, process.stderr
    with open(path, encoding="utf-8", newline="") as file:
        return process, {os.path.relpath(row["run"], runs): row for row in csv.DictReader(file)}


def test_compare_lists_each_run_once_sorted(table):
    assert list(table[1])[:3] == ["deeper/going", "finished [bold]", "no_versions"]  # equal errors are sorted by name
    assert list(table[1]) == [
        *["deeper/going", "finished [bold]", "no_versions"],
        *["bad_results", "deeper/fresh"],  # no error to sort by
        *["known", "worse"],
        "published",
        "bad_config",
    ]


def test_compare_finished_run_values_equal_results(table, finished_run):
    row, results = table[1]["finished [bold]"], json.loads((finished_run / "results.json").read_text())
    environment = json.loads((finished_run / "environment.json").read_text())
    assert (row["network"], row["data"], row["schedule"]) == ("cifar_resnet20", "digits", "cosine")
    assert (row["steps"], row["batch_size"], row["seed"], row["state"]) == ("4", "16", "0", "finished")
    assert float(row["last_error"]) == results["validation"]["error"]
    assert float(row["best_error"]) == results["best"]["validation"]["error"]
    assert float(row["images_per_second"]) == results["images_per_second"]
    assert float(row["seconds"]) == results["seconds"]
    assert row["commit"] == (environment["commit"] or "")[:8]
    assert row["best_top5_error"] == row["last_top5_error"] == row["published"] == ""


def test_compare_unfinished_run_shows_progress(table, finished_run):
    first = json.loads((finished_run / "metrics.jsonl").read_text().splitlines()[0])
    row = table[1]["deeper/going"]
    assert row["state"] == "step 2 of 4"
    assert float(row["best_error"]) == float(row["last_error"]) == first["validation/error"]
    assert row["images_per_second"] == row["seconds"] == ""
    assert table[1]["deeper/fresh"]["state"] == "not started"
    assert table[1]["deeper/fresh"]["best_error"] == ""


def test_compare_damaged_runs_show_cause(table):
    bad = table[1]["bad_config"]
    assert re.fullmatch(r'damaged: config\.yaml:\d+: train\.batch_size: expected .*, got "none"', bad["state"])
    assert bad["network"] == bad["steps"] == ""
    bad = table[1]["bad_results"]
    assert bad["state"] == "damaged: results.json: is not what a finished run writes"
    assert (bad["network"], bad["steps"], bad["best_error"]) == ("cifar_resnet20", "4", "")
    assert table[1]["no_versions"]["commit"] == ""
    assert table[1]["no_versions"]["state"] == "finished"


def test_compare_shows_published_errors(table):
    assert table[1]["known"]["published"] == "8.75 single view"  # He et al. 2015, table 6
    # its authors' single crop, then tables 3 and 4
    expected = "24.7 / 7.8 single crop, 22.85 / 6.71 10-crop, 20.74 / 5.25 multi-scale"
    assert table[1]["published"]["published"] == expected


def test_compare_printed_table_is_not_truncated(table, runs):
    """Errors have two digits, and no text is cut in a pipe with COLUMNS=60."""
    lines = table[0].stdout.splitlines()
    line = next(line for line in lines if line.startswith(f"{runs}/known "))
    assert re.search(r" cifar_resnet20 +tfds:cifar10 +cosine, 4 steps of 16, seed 0 +\d", line)
    assert re.search(r" 8\.12 / 1\.13 +8\.46 / 1\.25 +8\.75 single view ", line)
    assert any(line.startswith(f"{runs}/finished [bold] ") for line in lines)
    assert sum(line.startswith(str(runs)) for line in lines) == len(table[1])
    assert "latest" not in table[0].stdout


def test_compare_overlapping_folders_list_runs_once(runs):
    process = in_process("-m", "keras_resnet", "compare", f"{runs}/deeper/", runs / "latest", runs / "known")
    assert process.returncode == 0, process.stderr
    shown = [line.split()[0] for line in process.stdout.splitlines() if line.startswith(str(runs))]
    assert shown == [f"{runs}/deeper/going", f"{runs}/deeper/fresh", f"{runs}/latest"]


def test_compare_imports_neither_tensorflow_nor_keras(runs):
    process = run("-X", "importtime", "-m", "keras_resnet", "compare", runs)
    loaded = {line.split("|")[-1].strip() for line in process.stderr.splitlines() if line.startswith("import time:")}
    assert process.returncode == 0
    assert "keras_resnet.runs.folder" in loaded
    assert not loaded & {"tensorflow", "keras", "matplotlib"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{empty}"], "error: {empty}: contains no run (no folder in it has a config.yaml)"),
        (["{runs}", "{empty}"], "error: {empty}: contains no run (no folder in it has a config.yaml)"),
        (["{empty}/absent"], "error: {empty}/absent: no such folder"),
        ([], "error: expected folders that hold runs, for example: keras-resnet compare runs"),
        (["{runs}", "--csv={empty}/absent/x.csv"], "error: --csv={empty}/absent/x.csv: cannot be written (No such "),
    ],
)
def test_compare_user_error_is_one_line(runs, tmp_path, arguments, message):
    places = {"empty": tmp_path, "runs": runs}
    process = in_process("-m", "keras_resnet", "compare", *[argument.format(**places) for argument in arguments])
    assert process.returncode == 2, process.stderr
    assert process.stderr.startswith(message.format(**places))
    assert len(process.stderr.splitlines()) == 1
    assert not process.stdout
