"""PyTorch's own files (.pth, .pt, .th), which are programs: read in a process of their own, by Torch's safe reader.

    python -m keras_resnet.weights.torch_files SOURCE TARGET.safetensors

Only `convert-weights` comes here; whatever else meets such a file refuses it. Needs Torch, which this package does not.
"""

import os
import subprocess
import sys
import tempfile
import traceback

import numpy as np

from keras_resnet.errors import INTERNAL_ERROR
from keras_resnet.weights.tensors import read_tensors

OLDEST = (2, 10)  # before it, `weights_only` could be made to run code (CVE-2025-32434, CVE-2026-24747)
WITHIN = 600  # seconds
_NESTED = ("state_dict", "model", "net")  # where training scripts put a network's tensors


def read_torch_file(path: str) -> dict[str, np.ndarray]:
    """Reads the tensors of a Torch file in a child process.

    Raises:
        ValueError: Torch is not installed or too old, or the file holds anything but tensors.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "tensors.safetensors")
        command = [sys.executable, "-m", __name__, os.path.abspath(path), target]
        try:
            child = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN)
        except subprocess.TimeoutExpired:
            raise ValueError(f"{path}: could not be read within {WITHIN} seconds") from None
        if child.returncode == INTERNAL_ERROR:
            raise RuntimeError(f"{path}: the process that reads it failed:\n{child.stderr}")
        if child.returncode or not os.path.exists(target):
            said = (child.stderr.strip().splitlines() or [f"the process ended with {child.returncode}"])[-1]
            raise ValueError(f"{path}: {said}")
        return read_tensors(target)


def main(source: str, target: str) -> None:
    """In the child: the tensors of `source` to `target`; exits with a line that says why not."""
    try:
        import torch
    except ImportError:
        sys.exit("to read PyTorch's files, install torch (2.10 or later)")
    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST:
        sys.exit(f"torch {torch.__version__} reads files in a way that is not safe; install 2.10 or later")
    from safetensors.numpy import save_file

    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        sys.exit(f"holds more than tensors, or is damaged ({str(error).strip().splitlines()[0][:200]})")
    for key in _NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(torch.is_tensor(value) for value in content.values()):
        sys.exit("holds no tensors by name")
    save_file({str(name): value.float().contiguous().numpy() for name, value in content.items()}, target)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception:  # what the file is to blame for has ended the process by a line
        traceback.print_exc()
        sys.exit(INTERNAL_ERROR)
