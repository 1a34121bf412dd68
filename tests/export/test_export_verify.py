"""The child process that verifies artifacts separates a failing artifact from its own failure."""

import numpy as np
import pytest

from keras_resnet.errors import CheckError
from keras_resnet.export.verify import EXAMPLES, verify_in_child


@pytest.fixture
def artifact(tmp_path):
    (tmp_path / "1.tflite").write_bytes(b"no flatbuffer")
    return {"format": "litert", "path": str(tmp_path / "1.tflite")}


def test_verify_of_an_unloadable_artifact_raises_check_error(tmp_path, artifact):
    np.savez(tmp_path / EXAMPLES, images=np.zeros((1, 8, 8, 3), np.float32), output_logits=np.zeros((1, 2)), real=1)
    with pytest.raises(CheckError, match=r"not published, an artifact fails .*1\.tflite: ValueError: ") as raised:
        verify_in_child(str(tmp_path), [artifact], "scores")
    assert "\n" not in str(raised.value)


def test_verify_with_a_failing_child_raises_runtime_error(tmp_path, artifact):
    with pytest.raises(RuntimeError, match=r"(?s)ended with 70.*FileNotFoundError"):
        verify_in_child(str(tmp_path), [artifact], "scores")
