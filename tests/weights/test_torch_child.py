"""The process that reads Torch files separates refused files from its own failures."""

import pytest
from conftest import ROOT

from keras_resnet.weights.torch_files import read_torch_file


def with_torch(tmp_path, monkeypatch, text):
    """Makes child processes find a Torch module with these lines."""
    (tmp_path / "torch.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "model.pth").write_bytes(b"weights")
    return str(tmp_path / "model.pth")


def test_read_torch_file_with_an_old_torch_raises_value_error(tmp_path, monkeypatch):
    path = with_torch(tmp_path, monkeypatch, "__version__ = '2.5.1'")
    with pytest.raises(ValueError, match=r"model.pth: torch 2.5.1 reads files in a way that is not safe"):
        read_torch_file(path)


def test_read_torch_file_with_a_failing_child_raises_runtime_error(tmp_path, monkeypatch):
    """The traceback is kept; the exception's message is not reported as a fault of the file."""
    path = with_torch(tmp_path, monkeypatch, "__version__ = 'nightly'")
    with pytest.raises(RuntimeError, match=r"(?s)model.pth: the process that reads it failed:\nTraceback.*'nightly'"):
        read_torch_file(path)
