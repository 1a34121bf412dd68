"""Provides the table of published weights, published.json, and downloads its files once into Keras's cache folder."""

import functools
import hashlib
import json
import os
import pathlib
import re
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from keras_resnet.description import Preprocessing
from keras_resnet.errors import suggest
from keras_resnet.specs import SPECS, Spec

FILE = pathlib.Path(__file__).with_suffix(".json")
HUB_URL = "https://huggingface.co"
HUB_FILE = "model.safetensors"  # name of the weights file in a repository of the Hub
HUB_INDEX = f"{HUB_FILE}.index.json"  # name of the index of weights in several files
_FOLDER_FILES = (HUB_FILE, HUB_INDEX, "pytorch_model.bin")  # the last one causes an error message with a workaround
HUB_SCHEME = "hf://"
_HUB_NAME = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w.][\w./-]*))?")
_IMAGENET = "imagenet"  # keras.applications' name for its own weights

OFFLINE = ("KERAS_RESNET_OFFLINE", "HF_HUB_OFFLINE")
_FIRST_DIGITS = 8  # of a sha256, as PyTorch's file names have them
TRIES = 3
WAIT = 1.0  # seconds before the second try, twice as long before the third


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published weights file.

    Attributes:
        name: "<publisher>/<network>.<weights>".
        url: URL of the file.
        network: name in `SPECS`, or in `keras_resnet.detectors.DETECTORS`.
        checksum: digits of the publisher, "" to use the checksum that the server states. Eight digits are the first of
            the sha256.
        parameters: number of trainable parameters.
        top1, top5: accuracy in percent on ImageNet's validation images, None if the publisher states none.
        box_ap, mask_ap: average precision on COCO's validation images, in percent, None if the publisher states none.
        recipe: reference for the training.
        license: license of the weights.
        preprocessing: the preprocessing of images, None if the file must specify it.
    """

    name: str
    url: str
    network: str = ""
    checksum: str = ""
    parameters: int = 0
    top1: float | None = None
    top5: float | None = None
    box_ap: float | None = None
    mask_ap: float | None = None
    recipe: str = ""
    license: str = ""
    preprocessing: Preprocessing | None = None


@functools.cache
def entries() -> dict[str, Entry]:
    """Returns {name: entry} of all published weights in the table."""
    table = json.loads(FILE.read_text())
    return {name: _entry(name, row, table["sources"]) for name, row in table["weights"].items()}


def _entry(name, row, sources):
    row = sources[name.split("/")[0]] | row
    prepared = {key: row.pop(key) for key in ("mean", "std", "image_size", "crop_pct", "interpolation")}
    prepared = {key: tuple(value) if isinstance(value, list) else value for key, value in prepared.items()}
    row.pop("figures", None)
    return Entry(name=name, preprocessing=Preprocessing(**prepared), **row)


def locate(weights: str, row: Spec | None = None) -> Entry | None:
    """Returns the entry of weights to download, or None for weights on a disk or on the Hugging Face Hub.

    Args:
        weights: "imagenet" (keras.applications' weights of the network `row`), a name of the table, "hf://OWNER/NAME"
            for a repository of the Hub, a path, or a checkpoint prefix.
        row: the network whose weights "imagenet" selects.

    Raises:
        ValueError: no weights have this name.
    """
    if weights == _IMAGENET:
        return _of_keras(row)
    if weights in entries():
        return entries()[weights]
    if weights.startswith(HUB_SCHEME):
        parse_hub_name(weights)
        return None
    if not ("://" in weights or os.path.exists(weights) or os.path.exists(f"{weights}.index")):
        raise ValueError(f"{weights!r} is neither a file nor a name of published weights; {_suggestion(weights)}")
    return None


def parse_hub_name(name: str) -> tuple[str, str]:
    """Splits hf://OWNER/NAME@REVISION into ("OWNER/NAME", "REVISION"); the default revision is "main".

    Raises:
        ValueError: the name does not have this form.
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
    if weights in SPECS:
        names = [f'"{name}"' for name, entry in entries().items() if entry.network == weights]
        return "it is a network, " + (f"with weights such as {names[0]}" if names else "without published weights")
    near = suggest(weights, entries())
    return "`keras-resnet list --weights` shows them" if near.startswith("expected") else near


def is_weights_folder(path: str) -> bool:
    """Returns whether a folder contains weights in the layout of the Hub's repositories."""
    return any(os.path.isfile(os.path.join(path, name)) for name in _FOLDER_FILES)


def cache_folder() -> str:
    """Returns the folder of downloaded weights."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")  # as Keras's own
    return os.path.join(home, "keras_resnet")


def is_offline() -> bool:
    """Returns whether downloads are disabled."""
    return any(os.environ.get(variable, "0") not in ("", "0") for variable in OFFLINE)


def hub_endpoint() -> str:
    """Returns the URL of the Hugging Face Hub, or of its mirror."""
    return os.environ.get("HF_ENDPOINT", HUB_URL).rstrip("/")


def fetch(entry: Entry) -> str:
    """Returns the path of a published file, and downloads it if it is not in the cache.

    The file must have the checksum that its publisher states or, on the Hugging Face Hub, the sha256 that the Hub
    states.

    Raises:
        ValueError: the file cannot be downloaded, or has another checksum; no part of it is kept.
    """
    folder = os.path.join(cache_folder(), *entry.name.split("/"))
    name = os.path.basename(urllib.parse.urlsplit(entry.url).path)
    path = os.path.join(folder, name)
    if os.path.isfile(path):
        return path
    if is_offline():
        raise ValueError(f"{entry.name}: is not in {cache_folder()}, and {' or '.join(OFFLINE)} forbids downloading it")
    url = entry.url.replace(HUB_URL, hub_endpoint())
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as staging:
        os.replace(_download(url, name, entry, staging), path)
    return path


def _download(url, name, entry, staging):
    """Downloads a file to the folder `staging`, checks it, and returns its path."""
    import keras  # takes seconds, and the table needs no backend

    problem = ""
    for number in range(TRIES):
        if number:
            print(f"{entry.name}: {problem}; trying again", file=sys.stderr)
            time.sleep(WAIT * 2 ** (number - 1))
        try:
            checksum = entry.checksum or _stated_checksum(url)
            whole = None if len(checksum) == _FIRST_DIGITS else checksum
            path = keras.utils.get_file(name, url, cache_dir=staging, cache_subdir="", file_hash=whole or None)
            if whole is None:
                _check_first_digits(path, checksum)
            return path
        except ValueError:
            raise ValueError(
                f"{entry.name}: what {url} sends has not the checksum {checksum}; nothing was saved"
            ) from None
        except Exception as error:  # get_file raises plain `Exception`
            problem = " ".join(str(error).split())
    raise ValueError(f"{entry.name}: {problem}, {TRIES} times; nothing was saved")


def _check_first_digits(path, digits):
    with open(path, "rb") as file:
        if not hashlib.file_digest(file, "sha256").hexdigest().startswith(digits):
            raise ValueError(digits)


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the Hub states a file's checksum in its first response, which redirects to the file."""

    def redirect_request(self, *arguments):
        return None


def _stated_checksum(url):
    """Returns the sha256 that the Hub states for a file, "" if it states none."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=60) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        if error.code >= 400:
            raise
        headers = error.headers
    stated = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").strip('W/"')
    if re.fullmatch(r"[0-9a-f]{64}", stated):
        return stated
    print(f"WARNING: {url}: the server states no checksum, so that none is checked", file=sys.stderr)
    return ""
