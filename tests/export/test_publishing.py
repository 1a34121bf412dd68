"""Versions are published complete, in order and once; leftovers of killed exports are removed."""

import json
import os
import threading
import time

import pytest
from filelock import FileLock

from keras_resnet.errors import ConfigError, DiskError
from keras_resnet.export import publishing
from keras_resnet.export.publishing import clean_up, next_version, publish, staged


def fill(staging, text):
    for name in (
        "saved_model/saved_model.pb",
        "litert/version.tflite",
        "litert/version-int8.tflite",
        "onnx/version.onnx",
    ):
        os.makedirs(os.path.dirname(os.path.join(staging, name)), exist_ok=True)
        with open(os.path.join(staging, name), "w") as file:
            file.write(text)


def export(output, text, version=None):
    with staged(str(output)) as staging:
        fill(staging, text)
        return publish(staging, str(output), version)[0]


def check_whole(output, version, text=None):
    saved = (output / str(version) / "saved_model.pb").read_text()
    for name in (f"litert/{version}.tflite", f"litert/{version}-int8.tflite", f"onnx/{version}.onnx"):
        assert (output / name).read_text() == saved
    assert text is None or saved == text


def versions(output):
    return sorted(int(name) for name in os.listdir(output) if name.isdecimal())


def no_locks(monkeypatch):
    def unsupported(self, *args, **kwargs):
        raise NotImplementedError("this file system has no locks")

    monkeypatch.setattr(publishing.FileLock, "acquire", unsupported)


@pytest.mark.slow
@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_concurrent_publishers_get_different_complete_versions(tmp_path, monkeypatch, locks):
    """Of twenty versions, each is complete and none is lost or replaced. No hard links are needed."""
    monkeypatch.setattr(os, "link", None)
    show = publishing._show
    monkeypatch.setattr(publishing, "_show", lambda *paths: (time.sleep(0.005), show(*paths)))  # lets other threads run
    if not locks:
        no_locks(monkeypatch)
    (tmp_path / "out" / "litert").mkdir(parents=True)
    (tmp_path / "out" / "litert" / "3-int8.tflite").write_text("somebody's")
    (tmp_path / "out" / "007").mkdir()  # servers read it as 7

    threads = [threading.Thread(target=export, args=(tmp_path / "out", str(number))) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions(tmp_path / "out") == [7, *range(8, 28)]
    texts = {(tmp_path / "out" / str(version) / "saved_model.pb").read_text() for version in range(8, 28)}
    assert texts == {str(number) for number in range(20)}
    for version in range(8, 28):
        check_whole(tmp_path / "out", version)
    assert (tmp_path / "out" / "litert" / "3-int8.tflite").read_text() == "somebody's"
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith((".tmp", ".claim"))]


def test_publish_with_a_requested_version(tmp_path):
    for version, following in ((5, 6), (2, 6)):
        assert export(tmp_path, "a", version) == version
        assert next_version(str(tmp_path)) == following
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ConfigError, match=r"--version=5: already exists, in .*; 6 would be the next"):
        export(tmp_path, "b", 5)
    check_whole(tmp_path, 5, "a")
    assert sorted(os.listdir(tmp_path)) == before


def test_publish_that_fails_between_renames_leaves_no_artifact(tmp_path, monkeypatch):
    rename = os.rename

    def full(source, target):
        if os.path.basename(source) == publishing.SAVED_MODEL:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(DiskError, match=r"No space left on device.*nothing was published"):
        export(tmp_path, "a")
    assert sorted(name for name in os.listdir(tmp_path) if not name.startswith(".publishing")) == ["litert", "onnx"]
    assert os.listdir(tmp_path / "litert") == os.listdir(tmp_path / "onnx") == []


def test_publish_removes_only_leftovers_of_killed_exports(tmp_path):
    """One export was killed between renames: it has files but no SavedModel. Another export is still writing."""
    for number in (1, 2):
        assert export(tmp_path, str(number)) == number
    for name in ("litert/3.tflite", "litert/3-int8.tflite", "onnx/3.onnx", "litert/33.tflite"):
        (tmp_path / name).write_text("3")
    (tmp_path / ".tmp-dead").mkdir()
    (tmp_path / ".tmp-dead" / "lock").write_text("")
    (tmp_path / ".tmp-dead" / "version").write_text("3")
    (tmp_path / ".tmp-dead" / "saved_model").mkdir()
    (tmp_path / ".claim-3").mkdir()
    (tmp_path / ".tmp-living").mkdir()
    with FileLock(tmp_path / ".tmp-living" / "lock"):
        removed = clean_up(str(tmp_path))
    assert sorted(removed) == [".claim-3", ".tmp-dead", "litert/3-int8.tflite", "litert/3.tflite", "onnx/3.onnx"]
    assert (tmp_path / ".tmp-living").is_dir()
    assert (tmp_path / "litert" / "33.tflite").exists()
    assert not (tmp_path / ".claim-3").exists()
    check_whole(tmp_path, 1, "1")
    check_whole(tmp_path, 2, "2")


def test_publish_gives_the_report_its_version(tmp_path):
    with staged(str(tmp_path)) as staging:
        fill(staging, "a")

        def report(number):
            with open(os.path.join(staging, "saved_model", "report.json"), "w") as file:
                json.dump({"version": number}, file)

        publish(staging, str(tmp_path), complete=report)
    assert json.loads((tmp_path / "1" / "report.json").read_text()) == {"version": 1}
