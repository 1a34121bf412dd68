"""H1: hostile weight files are refused in one line, run no code, open no other file and need little memory."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import ROOT
from hostile_files import HOSTILE, reason

# Reads every file, and tells what came of it, what was opened beside it, and the most memory that it took.
READER = """
import json, re, sys
from keras_resnet.weights.reading import read_weights
import h5py, numpy, safetensors.numpy, zipfile
answers, opened, watched = {}, [], [""]
def hook(event, arguments):
    if event in ("os.system", "subprocess.Popen", "exec", "pickle.find_class", "marshal.loads"):
        opened.append([watched[0], event])
    if event == "open" and watched[0] and str(arguments[0]) != watched[0]:
        opened.append([watched[0], str(arguments[0])])
sys.addaudithook(hook)
for path in sys.argv[1:]:
    watched[0] = path
    try:
        tensors, _ = read_weights(path)
        answers[path] = f"READ {list(tensors)[:3]}"
    except ValueError as error:
        answers[path] = str(error)
    watched[0] = ""
# Not getrusage, whose maximum begins with that of the process which started this one.
most = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print(json.dumps([answers, opened, most]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads its memory from /proc")
def test_read_weights_refuses_hostile_files(tmp_path, figure):
    paths = {}
    for number, (name, write) in enumerate(HOSTILE.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths[name] = str(write(folder))
    child = subprocess.run(
        [sys.executable, "-c", READER, *paths.values()],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    answers, opened, kilobytes = json.loads(child.stdout)
    for name, path in paths.items():
        assert answers[path].startswith(path), (name, answers[path])
        assert "\n" not in answers[path], name
        assert reason(name) in answers[path], name
    assert opened == []
    assert not list(tmp_path.rglob("canary"))
    assert not list(tmp_path.rglob("climbed"))
    assert kilobytes < 2**20
    figure("H1", f"{len(HOSTILE)} of {len(HOSTILE)} hostile files refused in one line, at most {kilobytes // 1024} MiB")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pickle", "zipped pickle"])
def test_convert_weights_refuses_hostile_pickles_in_one_line(name, tmp_path, cli):
    """Without Torch, as in this environment, a line says so; the pickle is never run."""
    path = HOSTILE[name](tmp_path)
    process = cli("-m", "keras_resnet", "convert-weights", path, tmp_path / "out.safetensors")
    assert process.returncode == 2
    assert process.stderr.strip().startswith(f"error: {path}: ")
    assert len(process.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_read_weights_of_a_saved_model_h5_reads_only_weights(tmp_path):
    """The layers and the optimizer in an .h5 file are not read."""
    from keras_resnet.weights.reading import read_weights

    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda", "config": {"function": "evil"}})
        file["model_weights/conv1_conv/conv1_conv/kernel:0"] = np.ones((1, 2), np.float32)
        file["optimizer_weights/sgd/iterations:0"] = np.ones((), np.float32)
    tensors, _ = read_weights(str(tmp_path / "model.h5"))
    assert {name: value.tolist() for name, value in tensors.items()} == {"conv1_conv/kernel": [[1.0, 1.0]]}
