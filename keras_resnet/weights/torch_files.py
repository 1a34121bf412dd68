"""Reads PyTorch files (.pth, .pt, .th, .ckpt), which can run code, in a child process with Torch's safe loader.

    python -m keras_resnet.weights.torch_files SOURCE TARGET.safetensors

Only `convert-weights` and the names of published weights lead here; all commands and functions reject other such files.
The module requires Torch, which the package does not.
"""

import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from keras_resnet.errors import INTERNAL_ERROR, one_line
from keras_resnet.weights.state_dict import flatten
from keras_resnet.weights.tensors import read_tensors

OLDEST = (2, 10)  # older versions can run code despite `weights_only` (CVE-2025-32434, CVE-2026-24747)
WITHIN = 600  # seconds
_MOST_EXPANSION = 8  # bytes in memory per byte of the file; expanded tensors take no space in a file


class StandIn:
    """Replaces an object that is not a tensor, so that no code of its class runs."""

    def __new__(cls, *arguments):
        """Accepts any arguments."""
        return super().__new__(cls)

    def __init__(self, *arguments):
        """Ignores the arguments."""

    def __setstate__(self, state):
        """Ignores the state."""


# Objects that training scripts save besides tensors, by their names in the file. None of these is imported.
STAND_INS: dict[str, type] = dict.fromkeys(
    (
        "argparse.Namespace",
        "types.SimpleNamespace",
        *(f"pathlib.{kind}Path" for kind in ("Posix", "PurePosix", "Windows", "PureWindows")),
        *(f"pathlib._local.{kind}Path" for kind in ("Posix", "PurePosix", "Windows", "PureWindows")),  # Python 3.13
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        "numpy.dtype",
        "numpy.ndarray",
        "mmengine.logging.history_buffer.HistoryBuffer",
    ),
    StandIn,
)
# Dictionaries of settings, which Torch's loader fills item by item.
STAND_INS |= dict.fromkeys(
    (
        "lightning.fabric.utilities.data.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "yacs.config.CfgNode",
    ),
    OrderedDict,
)


def read_torch_file(path: str) -> dict[str, np.ndarray]:
    """Reads the tensors of a Torch file in a child process, as {"outer.inner": array} for nested dictionaries.

    Raises:
        ValueError: Torch is not installed or too old, or the file contains objects that are not safe to read.
    """
    return read_in_child(path, __name__)


def read_in_child(path: str, module: str) -> dict[str, np.ndarray]:
    """Reads the tensors of a file in a child process, by a module that takes the file and a safetensors file to write.

    Raises:
        ValueError: the module ended with a reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "tensors.safetensors")
        command = [sys.executable, "-m", module, os.path.abspath(path), target]
        try:
            child = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=WITHIN)
        except subprocess.TimeoutExpired:
            raise ValueError(f"{path}: could not be read within {WITHIN} seconds") from None
        if child.returncode == INTERNAL_ERROR:
            raise RuntimeError(f"{path}: the process that reads it failed:\n{child.stderr}")
        if child.returncode or not os.path.exists(target):
            said = (child.stderr.strip().splitlines() or [f"the process ended with {child.returncode}"])[-1]
            raise ValueError(f"{path}: {one_line(said, 400)}")
        return read_tensors(target)


def main(source: str, target: str) -> None:
    """Writes the tensors of `source` to `target`, in the child process; exits with a one-line reason on failure."""
    try:
        import torch
    except ImportError:
        sys.exit("to read PyTorch's files, install torch (2.10 or later)")
    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST:
        sys.exit(f"torch {torch.__version__} reads files in a way that is not safe; install 2.10 or later")
    from safetensors.numpy import save_file

    try:
        with torch.serialization.safe_globals([(kind, name) for name, kind in STAND_INS.items()]):
            content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        sys.exit(explain(str(error)))
    try:
        tensors = flatten(content, torch.is_tensor)
        declared = sum(value.numel() * value.element_size() for value in tensors.values())
    except ValueError as error:
        sys.exit(str(error))
    if not tensors:
        sys.exit("holds no tensors by name")
    check_declared(declared, source)
    save_file({name: _array(name, value) for name, value in tensors.items()}, target)


def check_declared(size: int, source: str) -> None:
    """Ends the child process with a one-line reason if tensors of `size` bytes are far more than their file holds."""
    if size > _MOST_EXPANSION * os.path.getsize(source) + 2**20:
        sys.exit(f"declares {size:,} bytes of tensors in a file of {os.path.getsize(source):,}")


def run_child(main: Callable[..., None]) -> None:
    """Calls the `main` of a child process; an error of the file ends it with one line, another one with a traceback."""
    try:
        main(*sys.argv[1:])
    except Exception:
        traceback.print_exc()
        sys.exit(INTERNAL_ERROR)


def _array(name, value):
    """Converts a Torch tensor to a NumPy array; half precisions become float32, because NumPy lacks bfloat16."""
    try:
        value = value.detach()
        return (value.float() if value.is_floating_point() else value).contiguous().numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        sys.exit(f"{name} cannot be read as an array of numbers ({one_line(error)})")


def explain(message: str) -> str:
    """Returns the reason of a failure in one line, from the error message of Torch's loader."""
    if "TorchScript" in message:
        return "is a TorchScript archive, which is a program; save the model's state_dict() instead"
    found = re.search(r"GLOBAL ([^\s\x1b]+)", message)
    if found:
        name = found[1] if "." in found[1] else f"builtins.{found[1]}"
        return f"holds {one_line(name)}, which could run code and is not loaded; save the model's state_dict() alone"
    reason = re.search(r"WeightsUnpickler error: (.+)", message)
    said = one_line(reason[1] if reason else message) or "no reason given"
    return f"is damaged or holds more than tensors ({said})"


if __name__ == "__main__":
    run_child(main)
