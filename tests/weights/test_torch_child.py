"""The process that reads Torch's files tells a file that it refuses from a failure of its own."""

import pytest
from conftest import ROOT

from keras_resnet.weights.torch_files import read_torch_file


def with_torch(tmp_path, monkeypatch, text):
    """Lets child processes find a Torch of these lines."""
    (tmp_path / "torch.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "model.pth").write_bytes(b"weights")
    return str(tmp_path / "model.pth")


def test_a_torch_that_is_too_old_is_the_user_s_matter(tmp_path, monkeypatch):
    path = with_torch(tmp_path, monkeypatch, "__version__ = '2.5.1'")
    with pytest.raises(ValueError, match=r"model.pth: torch 2.5.1 reads files in a way that is not safe"):
        read_torch_file(path)


def test_a_failure_that_nobody_foresaw_is_an_internal_error(tmp_path, monkeypatch):
    """It keeps its traceback; the message of an exception is not taken for what is wrong with the file."""
    path = with_torch(tmp_path, monkeypatch, "__version__ = 'nightly'")
    with pytest.raises(RuntimeError, match=r"(?s)model.pth: the process that reads it failed:\nTraceback.*'nightly'"):
        read_torch_file(path)
