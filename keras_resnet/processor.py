"""What the processor can do, and TensorFlow's settings that follow from it. Loads no TensorFlow."""

import functools
import os
import platform
import sys

# What convolutions gain by: wider vectors, small whole numbers, 16-bit floats, matrices.
_NAMED = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_NAMED_OF_ARM = ("asimd", "bf16", "i8mm", "sve")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
# Where TensorFlow switches oneDNN on by itself (TensorFlow 2.20, core/util/util.cc).
_ONEDNN_BY_ITSELF = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8"}
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# For processes that run SavedModels alone: their weights do not change, so oneDNN may keep them in the order that it
# computes in. Where weights are assigned or convolutions run eagerly, that gives wrong answers without a word.
SERVING = {_ONEDNN: "1", "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "1"}


@functools.cache
def instruction_sets() -> frozenset[str]:
    """The processor's instruction sets by Linux's names; empty where the system does not tell (macOS, Windows)."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def has_onednn_by_itself() -> bool:
    """Whether TensorFlow switches oneDNN on here without being asked."""
    return bool(instruction_sets() & _ONEDNN_BY_ITSELF)


def choose_kernels() -> None:
    """Switches oneDNN's kernels on where they are faster and TensorFlow leaves them off: processors with AVX2.

    Training steps of ResNet-50 are 1.3 times as fast there, large batches at inference 1.2 times:
    `benchmarks/onednn.py` measures it. What the user sets stays, and nothing changes once TensorFlow is loaded.
    """
    if "tensorflow" not in sys.modules and "avx2" in instruction_sets():
        os.environ.setdefault(_ONEDNN, "1")


def serve_only() -> None:
    """`SERVING`, for this process; what the user sets stays."""
    if "tensorflow" not in sys.modules:
        for name, value in SERVING.items():
            os.environ.setdefault(name, value)


def describe() -> str:
    """The processor and the kernels in a line: "2 cores, x86_64: avx avx2 fma; oneDNN on"."""
    found = instruction_sets()
    sets = " ".join(name for name in (*_NAMED, *_NAMED_OF_ARM) if name in found) or "instruction sets unknown"
    said = os.environ.get(_ONEDNN)
    if said is None:
        said = "on" if has_onednn_by_itself() else "as TensorFlow chooses" if not found else "off"
    else:
        said = f"{'off' if said.lower() in ('0', 'false') else 'on'} ({_ONEDNN}={said})"
    return f"{os.cpu_count()} cores, {platform.machine()}: {sets}; oneDNN {said}"


def emulates_bfloat16() -> bool:
    """Whether the processor is known to compute bfloat16 by way of float32, which is slower than float32 itself."""
    return bool(instruction_sets()) and not instruction_sets() & _BFLOAT16
