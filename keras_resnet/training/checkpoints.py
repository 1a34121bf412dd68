"""Everything a run needs to go on, as one directory: complete and proven by its manifest, or not there."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass

import numpy as np

from keras_resnet.weights.native import read_tensors, write_tensors

MANIFEST = "MANIFEST.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        step: optimizer steps done.
        arrays: variables by name.
        state: what else goes on: best figures, sums not yet reported.
    """

    step: int
    arrays: dict[str, np.ndarray]
    state: dict


def save_checkpoint(folder: str, checkpoint: Checkpoint, keep: int) -> str:
    """Writes `folder`/step-00000123, aside first and renamed once; keeps the `keep` newest.

    Returns:
        The directory's path.
    """
    os.makedirs(folder, exist_ok=True)
    final = os.path.join(folder, f"step-{checkpoint.step:08d}")
    aside = os.path.join(folder, f".tmp-{checkpoint.step}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    os.makedirs(aside)
    write_tensors(checkpoint.arrays, os.path.join(aside, "variables.safetensors"))
    _write_json(os.path.join(aside, "state.json"), {"step": checkpoint.step} | checkpoint.state)
    files = sorted(os.listdir(aside))
    _write_json(os.path.join(aside, MANIFEST), {name: _sha256(os.path.join(aside, name)) for name in files})
    shutil.rmtree(final, ignore_errors=True)
    os.rename(aside, final)
    _sync_directory(folder)
    for _, path in committed(folder)[keep:]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def committed(folder: str) -> list[tuple[int, str]]:
    """(step, path) of the checkpoints in a folder, newest first."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    matches = [re.fullmatch(r"step-(\d+)", name) for name in names]
    return sorted(((int(m[1]), os.path.join(folder, m[0])) for m in matches if m), reverse=True)


def read_checkpoint(path: str) -> Checkpoint:
    """Reads a checkpoint and proves every byte of it.

    Raises:
        ValueError: a file is missing or not what the manifest says; the message names it.
    """
    try:
        with open(os.path.join(path, MANIFEST), encoding="utf-8") as file:
            manifest = json.load(file)
        for name, digest in manifest.items():
            if _sha256(os.path.join(path, name)) != digest:
                raise ValueError(f"{os.path.join(path, name)} was altered after it was written")
        with open(os.path.join(path, "state.json"), encoding="utf-8") as file:
            state = json.load(file)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from None
    return Checkpoint(state.pop("step"), read_tensors(os.path.join(path, "variables.safetensors")), state)


def newest_checkpoint(folder: str, warn) -> Checkpoint | None:
    """The newest checkpoint that is whole; `warn(message)` hears of each damaged one that is skipped."""
    for _, path in committed(folder):
        try:
            return read_checkpoint(path)
        except ValueError as error:
            warn(f"skipping a damaged checkpoint: {error}")
    return None


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
