"""Downloads published files once, to a temporary folder, checks them, and keeps them in Keras's cache folder.

| variable | meaning |
|---|---|
| KERAS_HOME | location of the cache, ~/.keras by default |
| KERAS_RESNET_OFFLINE=1, HF_HUB_OFFLINE=1 | use cached files and download nothing, like `--offline` |
| HF_ENDPOINT | a mirror of https://huggingface.co |
"""

import os
import re
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import keras

from keras_resnet.weights.published import HUB_URL, Entry

OFFLINE = ("KERAS_RESNET_OFFLINE", "HF_HUB_OFFLINE")
TRIES = 3
WAIT = 1.0  # seconds before the second try, twice as long before the third


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
    problem = ""
    for number in range(TRIES):
        if number:
            print(f"{entry.name}: {problem}; trying again", file=sys.stderr)
            time.sleep(WAIT * 2 ** (number - 1))
        try:
            checksum = entry.checksum or _stated_checksum(url)
            return keras.utils.get_file(name, url, cache_dir=staging, cache_subdir="", file_hash=checksum or None)
        except ValueError:
            raise ValueError(
                f"{entry.name}: what {url} sends has not the checksum {checksum}; nothing was saved"
            ) from None
        except Exception as error:  # get_file raises plain `Exception`
            problem = " ".join(str(error).split())
    raise ValueError(f"{entry.name}: {problem}, {TRIES} times; nothing was saved")


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
