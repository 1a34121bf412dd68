"""The table of published weights, published.json: what there is, by whom, how good, and where."""

import functools
import json
import pathlib
from dataclasses import dataclass

from keras_resnet.description import Preparation
from keras_resnet.errors import suggest
from keras_resnet.specs import Spec

FILE = pathlib.Path(__file__).with_suffix(".json")
_IMAGENET = "imagenet"  # keras.applications' name for its own weights


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published file of weights.

    Attributes:
        name: "<publisher>/<network>.<weights>".
        network: row of `SPECS`.
        url: of the file.
        checksum: "<algorithm>:<digits>" as the publisher states it, "" where the server's own is taken.
        parameters: trainable ones.
        top1, top5: accuracy in percent on ImageNet's validation images, None where the publisher states none.
        recipe: where the training is described.
        licence: of the weights.
        preparation: how images are made ready.
    """

    name: str
    network: str
    url: str
    checksum: str
    parameters: int
    top1: float | None
    top5: float | None
    recipe: str
    licence: str
    preparation: Preparation


@functools.cache
def entries() -> dict[str, Entry]:
    """{name: entry} of all published weights that are known."""
    table = json.loads(FILE.read_text())
    return {name: _entry(name, row, table["sources"]) for name, row in table["weights"].items()}


def _entry(name, row, sources):
    row = sources[name.split("/")[0]] | row
    prepared = {key: row.pop(key) for key in ("mean", "std", "image_size", "crop_fraction", "interpolation")}
    prepared = {key: tuple(value) if isinstance(value, list) else value for key, value in prepared.items()}
    row.pop("figures", None)
    return Entry(name=name, preparation=Preparation(**prepared), **row)


def find(weights: str, row: Spec | None = None) -> Entry | None:
    """The entry of a name; "imagenet" is keras.applications' own weights of a network.

    Raises:
        ValueError: keras.applications has no weights of that network.
    """
    if weights != _IMAGENET:
        return entries().get(weights)
    network = row.name.removeprefix("keras_").removesuffix("v2") if row else ""
    version = "v2" if row and row.name.endswith("v2") else ""
    entry = entries().get(f"keras/{network}{version}.imagenet")
    if entry is None:
        have = ", ".join(e.network for name, e in entries().items() if name.startswith("keras/"))
        raise ValueError(f"keras.applications has weights of {have}, not of {row.name if row else 'every network'}")
    return entry


def suggestion(weights: str) -> str:
    """What to say of a name that is not in the table."""
    near = suggest(weights, entries())
    if near.startswith("expected"):
        near = "`python -m keras_resnet list --weights` shows them"
    return f"no name of published weights; {near}"
