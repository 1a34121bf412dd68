"""The processor selects the kernels, the user's choice has priority, and the description is correct."""

import os

import pytest
from conftest import run

from keras_resnet import processor

AVX2 = frozenset({"avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512_vnni"}


@pytest.fixture
def on(monkeypatch):
    """Simulates a process on a processor with these instruction sets, before TensorFlow is loaded."""

    def become(found, said=None):
        monkeypatch.setattr(processor, "instruction_sets", lambda: frozenset(found))
        monkeypatch.delitem(processor.sys.modules, "tensorflow", raising=False)
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        if said is not None:
            monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", said)
        processor.choose_kernels()
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS")

    return become


@pytest.mark.parametrize(
    ("found", "said", "chosen", "told"),
    [
        (AVX2, None, "1", "avx avx2 fma; oneDNN on (TF_ENABLE_ONEDNN_OPTS=1)"),
        (AVX2, "0", "0", "avx avx2 fma; oneDNN off (TF_ENABLE_ONEDNN_OPTS=0)"),
        (AVX512, None, "1", "avx avx2 fma avx512f avx512_vnni; oneDNN on (TF_ENABLE_ONEDNN_OPTS=1)"),
        ({"avx"}, None, None, "avx; oneDNN off"),
        ((), None, None, "instruction sets unknown; oneDNN as TensorFlow chooses"),
    ],
)
def test_choose_kernels_by_instruction_sets_and_user_choice(on, found, said, chosen, told):
    assert on(found, said) == chosen
    assert processor.describe().endswith(told)


def test_choose_kernels_after_tensorflow_is_loaded_changes_nothing(monkeypatch):
    import tensorflow  # noqa: F401

    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setattr(processor, "instruction_sets", lambda: AVX2)
    processor.choose_kernels()
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ


@pytest.mark.parametrize(
    ("found", "emulated"), [(AVX2, True), (AVX512, True), (AVX512 | {"avx512_bf16"}, False), ((), False)]
)
def test_emulates_bfloat16_by_instruction_sets(on, found, emulated):
    on(found)
    assert processor.emulates_bfloat16() == emulated


@pytest.mark.slow
def test_describe_agrees_with_tensorflow_about_onednn():
    """A separate process runs a channels-first convolution, which on CPUs only oneDNN has."""
    code = (
        "import os; os.environ.pop('TF_ENABLE_ONEDNN_OPTS', None);"
        "from keras_resnet.processor import choose_kernels, describe; choose_kernels();"
        "import tensorflow as tf; tf.config.set_visible_devices([], 'GPU');"
        "print(describe());"
        "tf.nn.conv2d(tf.zeros((1, 1, 4, 4)), tf.zeros((3, 3, 1, 1)), 1, 'SAME', data_format='NCHW'); print('is on')"
    )
    process = run("-c", code)
    said = process.stdout.splitlines()[0]
    assert ("oneDNN on" in said) == process.stdout.endswith("is on\n"), process.stdout + process.stderr
