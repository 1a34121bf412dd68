"""The table of published weights, published.json: what there is, by whom, how good, and where."""

import functools
import json
import os
import pathlib
import re
from dataclasses import dataclass

from keras_resnet.description import Preprocessing
from keras_resnet.errors import suggest
from keras_resnet.specs import Spec

FILE = pathlib.Path(__file__).with_suffix(".json")
HUB_URL = "https://huggingface.co"
HUB_FILE = "model.safetensors"  # what a repository of the Hub calls its weights
HUB_INDEX = f"{HUB_FILE}.index.json"  # of weights in several files
_FOLDER_FILES = (HUB_FILE, HUB_INDEX, "pytorch_model.bin")  # the last one is named to the user, with the way out
HUB_SCHEME = "hf://"
_HUB_NAME = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w.][\w./-]*))?")
_IMAGENET = "imagenet"  # keras.applications' name for its own weights


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published file of weights.

    Attributes:
        name: "<publisher>/<network>.<weights>".
        url: of the file.
        network: row of `SPECS`.
        checksum: "<algorithm>:<digits>" as the publisher states it, "" where the server's own is taken.
        parameters: trainable ones.
        top1, top5: accuracy in percent on ImageNet's validation images, None where the publisher states none.
        recipe: where the training is described.
        license: of the weights.
        preprocessing: how images are made ready, None where the file has to say it.
    """

    name: str
    url: str
    network: str = ""
    checksum: str = ""
    parameters: int = 0
    top1: float | None = None
    top5: float | None = None
    recipe: str = ""
    license: str = ""
    preprocessing: Preprocessing | None = None


@functools.cache
def entries() -> dict[str, Entry]:
    """{name: entry} of all published weights that are known."""
    table = json.loads(FILE.read_text())
    return {name: _entry(name, row, table["sources"]) for name, row in table["weights"].items()}


def _entry(name, row, sources):
    row = sources[name.split("/")[0]] | row
    prepared = {key: row.pop(key) for key in ("mean", "std", "image_size", "crop_pct", "interpolation")}
    prepared = {key: tuple(value) if isinstance(value, list) else value for key, value in prepared.items()}
    row.pop("figures", None)
    return Entry(name=name, preprocessing=Preprocessing(**prepared), **row)


def locate(weights: str, row: Spec | None = None) -> Entry | None:
    """Finds weights by name: the entry to download, or None for what lies on a disk or on the Hugging Face Hub.

    Args:
        weights: "imagenet" (keras.applications' own of the network `row`), a name of the table, "hf://OWNER/NAME" for a
            repository of the Hub, a path, or a checkpoint prefix.
        row: the network that "imagenet" is meant for.

    Raises:
        ValueError: there is nothing of that name.
    """
    if weights == _IMAGENET:
        return _of_keras(row)
    if weights in entries():
        return entries()[weights]
    if weights.startswith(HUB_SCHEME):
        parse_hub_name(weights)
        return None
    if not ("://" in weights or os.path.exists(weights) or os.path.exists(f"{weights}.index")):
        raise ValueError(f"{weights!r} is no file and no name of published weights; {_suggestion(weights)}")
    return None


def parse_hub_name(name: str) -> tuple[str, str]:
    """hf://OWNER/NAME@REVISION -> ("OWNER/NAME", "REVISION"); without one, "main".

    Raises:
        ValueError: it is no such name.
    """
    found = _HUB_NAME.fullmatch(name.removeprefix(HUB_SCHEME))
    if not found or ".." in name:
        raise ValueError(f"{name!r}: expected {HUB_SCHEME}OWNER/NAME or {HUB_SCHEME}OWNER/NAME@REVISION")
    return found["repository"], found["revision"] or "main"


def _of_keras(row):
    network = row.name.removeprefix("keras_").removesuffix("v2") if row else ""
    version = "v2" if row and row.name.endswith("v2") else ""
    entry = entries().get(f"keras/{network}{version}.imagenet")
    if entry is None:
        have = ", ".join(e.network for name, e in entries().items() if name.startswith("keras/"))
        raise ValueError(f"keras.applications has weights of {have}, not of {row.name if row else 'every network'}")
    return entry


def _suggestion(weights):
    near = suggest(weights, entries())
    return "`keras-resnet list --weights` shows them" if near.startswith("expected") else near


def is_weights_folder(path: str) -> bool:
    """Whether a folder holds weights as repositories of the Hub do."""
    return any(os.path.isfile(os.path.join(path, name)) for name in _FOLDER_FILES)
