"""The child process that verifies artifacts separates a failing artifact from its own failure."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_resnet.errors import CheckError
from keras_resnet.export.export import _chunk
from keras_resnet.export.verify import EXAMPLES, verify_in_child


@pytest.fixture
def artifact(tmp_path):
    (tmp_path / "1.tflite").write_bytes(b"no flatbuffer")
    return {"format": "litert", "path": str(tmp_path / "1.tflite")}


def test_verify_of_an_unloadable_artifact_raises_check_error(tmp_path, artifact):
    np.savez(tmp_path / EXAMPLES, images=np.zeros((1, 8, 8, 3), np.float32), output_logits=np.zeros((1, 2)), real=1)
    with pytest.raises(CheckError, match=r"not published, an artifact fails .*1\.tflite: ValueError: ") as raised:
        verify_in_child(str(tmp_path), [artifact], "scores", 16, (1,))
    assert "\n" not in str(raised.value)


def test_verify_with_a_failing_child_raises_runtime_error(tmp_path, artifact):
    with pytest.raises(RuntimeError, match=r"(?s)ended with 70.*FileNotFoundError"):
        verify_in_child(str(tmp_path), [artifact], "scores", 16, (1,))


@pytest.mark.parametrize(
    ("call_bytes", "side", "expected"),
    [(None, 1088, 16), (16_000_000, 128, 16), (16_000_000, 512, 5), (16_000_000, 1088, 1)],
)
def test_chunk_of_large_images_is_limited_by_bytes(call_bytes, side, expected):
    preprocessing = SimpleNamespace(image_shape=(side, side, 3))
    what = SimpleNamespace(call_bytes=call_bytes, description=SimpleNamespace(preprocessing=preprocessing))
    assert _chunk(what) == expected
