"""Detects the processor's features and sets TensorFlow's options for them. Does not import TensorFlow."""

import functools
import os
import platform
import sys

# Instruction sets that make convolutions faster: wider vectors, small integers, 16-bit floats, matrices.
_NAMED = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_NAMED_OF_ARM = ("asimd", "bf16", "i8mm", "sve")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
# Instruction sets for which TensorFlow enables oneDNN by default (TensorFlow 2.20, core/util/util.cc).
_ONEDNN_BY_ITSELF = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8"}
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# For processes that only run SavedModels: their weights do not change, so oneDNN may cache them in its own layout. In
# processes that assign weights or run convolutions eagerly, this silently gives wrong results.
SERVING = {_ONEDNN: "1", "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "1"}


@functools.cache
def instruction_sets() -> frozenset[str]:
    """Returns the processor's instruction sets by Linux's names; empty if the system lists none (macOS, Windows)."""
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
    """Returns whether TensorFlow enables oneDNN by default on this processor."""
    return bool(instruction_sets() & _ONEDNN_BY_ITSELF)


def choose_kernels() -> None:
    """Enables oneDNN on processors with AVX2, where it is faster and TensorFlow may leave it off.

    Training steps of ResNet-50 are 1.3 times as fast with it, and large batches at inference 1.2 times
    (`benchmarks/onednn.py`). The user's own setting is kept. The function has no effect once TensorFlow is loaded.
    """
    if "tensorflow" not in sys.modules and "avx2" in instruction_sets():
        os.environ.setdefault(_ONEDNN, "1")


def serve_only() -> None:
    """Sets the variables of `SERVING` for this process; the user's own settings are kept."""
    if "tensorflow" not in sys.modules:
        for name, value in SERVING.items():
            os.environ.setdefault(name, value)


def describe() -> str:
    """Describes the processor and the kernels in one line: "2 cores, x86_64: avx avx2 fma; oneDNN on"."""
    found = instruction_sets()
    sets = " ".join(name for name in (*_NAMED, *_NAMED_OF_ARM) if name in found) or "instruction sets unknown"
    said = os.environ.get(_ONEDNN)
    if said is None:
        said = "on" if has_onednn_by_itself() else "as TensorFlow chooses" if not found else "off"
    else:
        said = f"{'off' if said.lower() in ('0', 'false') else 'on'} ({_ONEDNN}={said})"
    return f"{os.cpu_count()} cores, {platform.machine()}: {sets}; oneDNN {said}"


def emulates_bfloat16() -> bool:
    """Returns whether the processor is known to emulate bfloat16 with float32, which is slower than float32."""
    return bool(instruction_sets()) and not instruction_sets() & _BFLOAT16
