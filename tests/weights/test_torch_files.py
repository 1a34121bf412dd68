"""PyTorch files: objects that a script saves beside tensors are never imported, and errors name the obstacle.

The tests of whole files need torch, which this package does not require; the others test the contents of such files.
"""

import argparse
import codecs
import io
import os
import pathlib
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest
from conftest import ROOT

from keras_resnet.errors import one_line
from keras_resnet.weights.torch_files import STAND_INS, StandIn, explain, read_torch_file


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class Settings:
    """A class that only the training script has."""


class StandInUnpickler(pickle.Unpickler):
    """Resolves names as Torch's reader does with `STAND_INS`."""

    def find_class(self, module, name):
        return codecs.encode if name == "encode" else STAND_INS[f"{module}.{name}"]


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(model="resnet50", lr=0.1, output=pathlib.Path("/x")),
        types.SimpleNamespace(a=1),
        pathlib.Path("runs/1"),
        pathlib.PurePosixPath("runs/1"),
        pathlib.PureWindowsPath("C:/runs/1"),
        np.float64(76.1),
        np.int64(3),
        np.arange(3.0),
        np.dtype("float32"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_unpickler_replaces_known_classes_with_stand_ins(value):
    content = StandInUnpickler(io.BytesIO(pickle.dumps({"args": value, "epoch": 3}, protocol=2))).load()
    assert content["epoch"] == 3
    assert type(content["args"]) is StandIn
    assert not vars(content["args"])


def test_unpickler_refuses_other_classes():
    content = pickle.dumps(Runs("true"), protocol=2)
    with pytest.raises(KeyError, match=r"posix\.system"):
        StandInUnpickler(io.BytesIO(content)).load()


PREFACE = (
    "Weights only load failed. This file can still be loaded, to do so you have two options, \x1b[1mdo those steps "
    "only if you trust the source of the checkpoint\x1b[0m. \n\t(1) In PyTorch 2.6, we changed the default value.\n"
)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            f"{PREFACE}WeightsUnpickler error: Unsupported global: GLOBAL __main__.Config was not allowed.\n\n",
            "holds __main__.Config, which could run code and is not loaded; save the model's state_dict() alone",
        ),
        (
            f"{PREFACE}WeightsUnpickler error: Unsupported global: GLOBAL getattr was not allowed by default.",
            "holds builtins.getattr, which could run code and is not loaded; save the model's state_dict() alone",
        ),
        (
            f"{PREFACE}WeightsUnpickler error: Trying to load unsupported GLOBAL posix.system whose module is blocked.",
            "holds posix.system, which could run code and is not loaded; save the model's state_dict() alone",
        ),
        (
            f"{PREFACE}WeightsUnpickler error: Unsupported operand 149\n\nCheck the documentation of torch.load.",
            "is damaged or holds more than tensors (Unsupported operand 149)",
        ),
        (
            "Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``. In PyTorch 2.6, we",
            "is a TorchScript archive, which is a program; save the model's state_dict() instead",
        ),
        (
            "PytorchStreamReader failed reading zip archive:\n failed finding central directory",
            "is damaged or holds more than tensors "
            "(PytorchStreamReader failed reading zip archive: failed finding central directory)",
        ),
        ("", "is damaged or holds more than tensors (no reason given)"),
    ],
)
def test_explain_names_the_obstacle(message, line):
    assert explain(message) == line


def test_one_line_shortens_between_words():
    assert one_line("\x1b[1mbold\x1b[0m\n\ttext \x07 end") == "bold text end"
    assert one_line("word " * 100, 18) == "word word word ..."


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="reads PyTorch's own files")


def saved(torch, path, content, **options):
    torch.save(content, path, **options)
    return str(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_read_torch_file_of_a_training_checkpoint(torch, zipped, tmp_path):
    weights = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(weights.parameters(), lr=0.1, momentum=0.9)
    weights(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {
        "state_dict": weights.state_dict(),
        "model_ema": {"module.weight": weights.weight.half(), "n_averaged": torch.tensor(5)},
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(model="resnet50", output=tmp_path, metric=np.float64(3)),
        "epoch": 3,
    }
    path = saved(torch, tmp_path / "model.pth.tar", content, _use_new_zipfile_serialization=zipped)
    tensors = read_torch_file(path)
    assert tensors.keys() == {"state_dict.weight", "state_dict.bias", "model_ema.module.weight", "model_ema.n_averaged"}
    np.testing.assert_array_equal(tensors["state_dict.weight"], weights.weight.detach().numpy())
    assert tensors["model_ema.module.weight"].dtype == np.float32
    assert tensors["model_ema.n_averaged"] == 5


def test_read_torch_file_refuses_unsafe_files_in_one_line(torch, tmp_path):
    canary = tmp_path / "canary"
    swelling = {"a": torch.zeros(1).expand(10**9)}
    cases = {
        "holds test_torch_files.Settings, which could run code": {"args": Settings()},
        "holds posix.system, which could run code": {"args": Runs(f"touch {canary}")},
        "holds torch.nn.modules.linear.Linear, which could run code": torch.nn.Linear(2, 2),
        "declares 4,000,000,000 bytes of tensors in a file of": swelling,
        "holds no tensors by name": {"epoch": 3, "list": [torch.ones(2)]},
        "names two tensors a.b": {"a": {"b": torch.ones(2)}, "a.b": torch.ones(2)},
    }
    for message, content in cases.items():
        path = saved(torch, tmp_path / "model.pth", content)
        with pytest.raises(ValueError, match=rf"^{path}: {message}[^\n\x1b]*$"):
            read_torch_file(path)
    assert not canary.exists()


def test_read_torch_file_names_a_damaged_file_in_one_line(torch, tmp_path):
    path = pathlib.Path(saved(torch, tmp_path / "model.pth", {"a": torch.ones(1000)}))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"model\.pth: is damaged or holds more than tensors \([^\n\x1b]+\)$"):
        read_torch_file(str(path))


def test_torch_files_without_torch_tells_what_to_install(tmp_path):
    """Runs in a Python process that cannot import Torch."""
    code = "import sys; sys.modules['torch'] = None; from keras_resnet.weights.torch_files import main; main('a', 'b')"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.stderr == "to read PyTorch's files, install torch (2.10 or later)\n"
    assert process.returncode == 1
