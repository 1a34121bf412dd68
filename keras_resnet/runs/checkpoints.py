"""The state of a run, except its variables."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from keras_resnet.errors import ConfigError
from keras_resnet.files import (
    has_rename,
    make_folder,
    names,
    read,
    remove,
    remove_folder,
    sync_folder,
    unique_suffix,
    write_synced,
)
from keras_resnet.renamed import upgrade_config
from keras_resnet.task import Metric, ranks
from keras_resnet.weights.tensors import pack, unpack

FORMAT = 1
MANIFEST = "MANIFEST.json"
VARIABLES, STATE = "variables.safetensors", "state.json"


@dataclass
class RunState:
    """The changing state of a run, except its variables; a checkpoint holds both.

    Attributes:
        step: number of optimizer steps done.
        settled: the step up to which logging and evaluation are done. A stopped run leaves those of its last step to
            the process that resumes it.
        pending: sums of the steps that are not logged yet.
        first_loss: the loss of the first step, the reference for an exploding loss.
        validation: metrics of the last evaluation.
        best: step, ranks and metrics of the best evaluation.
        since_best: number of evaluations after the best one.
        skipped: "location: problem" for every skipped image.
        seconds: seconds of training, over all processes.
    """

    step: int = 0
    settled: int = 0
    pending: dict[str, float] = field(default_factory=dict)
    first_loss: float | None = None
    validation: dict[str, float] = field(default_factory=dict)
    best: dict = field(default_factory=dict)
    since_best: int = 0
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def keep_best(self, values: dict[str, float], metrics: Mapping[str, Metric]) -> bool:
        """Keeps an evaluation that is no worse than the best by the task's metrics; returns whether it was."""
        ranking = ranks(metrics, values)
        if self.best and ranking > self.best["ranks"]:
            self.since_best += 1
            return False
        self.best = {"step": self.step, "ranks": ranking, "figures": values}
        self.since_best = 0
        return True

    def to_json(self) -> dict:
        """Returns plain values that keep every float exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "RunState":
        """Returns the state from the output of `to_json`; ignores unknown fields of other versions."""
        return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        step: number of optimizer steps done.
        arrays: variables by name.
        state: the other state of the run: best metrics, sums that are not logged yet.
        config: the run's resolved configuration.
        description: the model description, as JSON; empty in checkpoints of version 0.1.
        averages: {averaged variable of the network: array with its moving average}; None in checkpoints of version
            0.1.
    """

    step: int
    arrays: dict[str, np.ndarray]
    state: dict
    config: dict = field(default_factory=dict)
    description: dict = field(default_factory=dict)
    averages: dict[str, str] | None = None


def save_checkpoint(folder: str, checkpoint: Checkpoint) -> str:
    """Writes `folder`/step-00000123, and returns its path.

    Raises:
        OSError: it cannot be written; existing checkpoints are kept.
    """
    final = os.path.join(folder, f"step-{checkpoint.step:08d}")
    stage = os.path.join(folder, f".step-{checkpoint.step}.{unique_suffix()}") if has_rename(folder) else final
    contents = {VARIABLES: pack(checkpoint.arrays), STATE: _dump(checkpoint.state)}
    discard(stage)
    try:
        make_folder(stage)
        for name, content in contents.items():
            write_synced(os.path.join(stage, name), content)
        write_synced(os.path.join(stage, MANIFEST), _manifest(checkpoint, contents))
        if stage != final:
            sync_folder(stage)
            discard(final)
            os.rename(stage, final)
            sync_folder(folder)
    except OSError:
        remove_folder(stage)  # frees disk space for the next attempt
        raise
    return final


def _manifest(checkpoint, contents):
    files = {name: {"bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} for name, c in contents.items()}
    body = {
        "format": FORMAT,
        "step": checkpoint.step,
        "files": files,
        "versions": _versions(),
        "config": checkpoint.config,
        "description": checkpoint.description,
        "averages": checkpoint.averages,
    }
    return _dump(body | {"sha256": hashlib.sha256(_dump(body)).hexdigest()})


def _versions():
    from keras_resnet import __version__

    found = {"keras_resnet": __version__}
    for package in ("keras", "tensorflow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # installed under another name: its version is unknown
            continue
    return found


def _dump(value):
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def committed(folder: str) -> list[tuple[int, str]]:
    """Returns (step, path) of the complete checkpoints in a folder, newest first."""
    return [(step, path) for step, path in _directories(folder) if MANIFEST in names(path)]


def _directories(folder):
    matches = [re.fullmatch(r"step-(\d{8,})", name) for name in names(folder)]
    return sorted(((int(m[1]), os.path.join(folder, m[0])) for m in matches if m), reverse=True)


def discard(path: str) -> None:
    """Removes a checkpoint, its manifest first, so that a crash leaves no incomplete checkpoint that counts."""
    remove(os.path.join(path, MANIFEST))
    remove_folder(path)


def prune(folder: str, newest: int, keep: int, best: Container[int] = ()) -> None:
    """Keeps the last `keep` checkpoints up to step `newest` and those of the steps in `best`, and removes others.

    Checkpoints of later steps are damaged; the run has resumed from before them and will replace them. Leftovers of
    crashes are removed too, so only the process that holds the folder's lock may call this.
    """
    directories = _directories(folder)
    counted = [(step, path) for step, path in directories if step <= newest]
    whole = [step for step, path in counted if MANIFEST in names(path)]
    for step, path in counted:
        if step not in whole[:keep] and step not in best:
            discard(path)
    for name in names(folder):
        if name.startswith(".step-"):
            remove_folder(os.path.join(folder, name))


def read_checkpoint(path: str) -> Checkpoint:
    """Reads a checkpoint and verifies all of its files.

    Raises:
        ValueError: a file is missing or was altered; the message names it.
        ConfigError: a later version of this package wrote it.
    """
    manifest = _read_manifest(path)
    contents = {name: _proven(os.path.join(path, name), about) for name, about in manifest["files"].items()}
    arrays = unpack(contents[VARIABLES], os.path.join(path, VARIABLES))
    state, description = json.loads(contents[STATE]), manifest.get("description", {})
    averages = manifest.get("averages")
    config = upgrade_config(manifest["config"])
    return Checkpoint(manifest["step"], arrays, state, config, description, averages)


def _read_manifest(path):
    file = os.path.join(path, MANIFEST)
    content = _read(file)
    try:
        manifest = json.loads(content)
        digest = manifest.pop("sha256")
        whole = _dump(manifest | {"sha256": digest}) == content
        proven = whole and hashlib.sha256(_dump(manifest)).hexdigest() == digest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        proven = False
    if not proven:
        raise ValueError(f"{file}: {len(content)} bytes that are no manifest, or were altered")
    if manifest["format"] > FORMAT:
        raise ConfigError(
            f"{path}: written by keras_resnet {manifest['versions']['keras_resnet']} in format {manifest['format']}; "
            f"this version reads formats up to {FORMAT}"
        )
    if f"step-{manifest['step']:08d}" != os.path.basename(path):
        raise ValueError(f"{path}: is the checkpoint of step {manifest['step']} under another name")
    return manifest


def _proven(path, about):
    content = _read(path)
    if len(content) != about["bytes"]:
        raise ValueError(f"{path}: has {len(content)} of {about['bytes']} bytes")
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise ValueError(f"{path}: was altered after it was written (its sha256 differs)")
    return content


def _read(path):
    try:
        return read(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def newest_checkpoint(folder: str, warn: Callable[[str], None]) -> Checkpoint | None:
    """Returns the newest undamaged checkpoint; calls `warn(message)` for each damaged one that it skips."""
    for _, path in _directories(folder):
        try:
            return read_checkpoint(path)
        except ValueError as error:
            warn(f"skipping a damaged checkpoint: {error}")
    return None


def network_arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Returns the network's arrays for evaluation: averaged variables are replaced by their moving averages.

    Raises:
        ValueError: the run averages its weights, and the checkpoint lacks an average.
    """
    arrays = checkpoint.arrays
    network = {name: value for name, value in arrays.items() if not name.startswith(("optimizer/", "random/"))}
    averages = _averages_by_name(arrays, network) if checkpoint.averages is None else checkpoint.averages
    decay = checkpoint.config.get("train", {}).get("ema_decay", 0)
    missing = [f"{name} ({average})" for name, average in averages.items() if average not in arrays]
    if missing or (decay and not averages):
        what = missing[0] if missing else "any variable"
        raise ValueError(f"the checkpoint of step {checkpoint.step}: train.ema_decay is {decay}, no average of {what}")
    return network | {name: arrays[average] for name, average in averages.items()}


def _averages_by_name(arrays, network):
    """Finds the averages in a checkpoint of version 0.1 by name: Keras derives their names from the variables'."""
    held = {name.rpartition("/")[2]: name for name in arrays if name.startswith("optimizer/")}
    found = {name: held.get(f"{name.replace('/', '_')}_average") for name in network}
    return {name: average for name, average in found.items() if average}
