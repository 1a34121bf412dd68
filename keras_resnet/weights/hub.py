"""Downloads hf://OWNER/NAME and hf://OWNER/NAME@REVISION to a local folder with huggingface_hub.

The files are kept in the cache of huggingface_hub ($HF_HOME), which all programs share. Every call asks the Hub for
changes and downloads only changed files. Private repositories require $HF_TOKEN.
"""

import datetime
import hashlib
import os
import re
import sys

import huggingface_hub
from huggingface_hub import errors

from keras_resnet.weights.model_config import CONFIG, PROCESSOR
from keras_resnet.weights.published import HUB_FILE, HUB_INDEX, hub_endpoint, is_offline, parse_hub_name
from keras_resnet.weights.reading import files_of


def fetch_repository(name: str) -> str:
    """Downloads the files of a repository that are not in the cache, and prints the revision.

    Returns:
        A folder with the weights (model.safetensors, or several files and their index), and with config.json and
        preprocessor_config.json if the repository has them.

    Raises:
        ValueError: the repository does not exist, has no such weights, or has damaged ones; or the Hub cannot be
            reached and the files are not in the cache.
    """
    repository, revision = parse_hub_name(name)
    try:
        weights = _fetch_weights(repository, revision)
        folder = os.path.dirname(weights[0])
        commit = os.path.basename(folder)  # pins the other files, in case the branch changes meanwhile
        for beside in (CONFIG, PROCESSOR):
            _fetch_if_there(repository, commit, beside)
    except errors.GatedRepoError:
        raise ValueError(f"{name}: is gated: request access on the Hub and set HF_TOKEN to your token") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{name}: the repository has no revision {revision}") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(f"{name}: the Hub has no such repository, or it is private (HF_TOKEN)") from None
    except errors.LocalEntryNotFoundError:
        why = "only the cache may be used" if is_offline() else "the Hub cannot be reached"
        raise ValueError(f"{name}: is not cached, and {why}") from None
    except errors.EntryNotFoundError:
        raise ValueError(f"{name}: has no {HUB_FILE} and no {HUB_INDEX}") from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise ValueError(f"{name}: cannot be downloaded ({' '.join(str(error).split())[:200]})") from None
    for path in weights:
        _check_content(path, name)
    since = datetime.date.fromtimestamp(os.path.getmtime(weights[0]))
    print(f"{name}: revision {commit[:12]}, cached since {since}", file=sys.stderr)
    return folder


def _fetch_weights(repository, revision):
    """Downloads all weights files and returns their paths."""
    try:
        return [_fetch(repository, revision, HUB_FILE)]
    except errors.EntryNotFoundError:
        if not (index := _fetch_if_there(repository, revision, HUB_INDEX)):
            raise
        commit = os.path.basename(os.path.dirname(index))
        return [_fetch(repository, commit, file) for file in files_of(index)]


def _fetch(repository, revision, file):
    return huggingface_hub.hf_hub_download(
        repository, file, revision=revision, endpoint=hub_endpoint(), local_files_only=is_offline()
    )


def _fetch_if_there(repository, revision, file):
    kept = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
    if kept is not None and re.fullmatch(r"[0-9a-f]{40}", revision):  # a commit does not change
        return kept if isinstance(kept, str) else None
    try:
        return _fetch(repository, revision, file)
    except errors.EntryNotFoundError:
        return None


def _check_content(path, name):
    """Checks a large file's sha256, which is its name in the cache. huggingface_hub compares only the size."""
    stated = os.path.basename(os.path.realpath(path))
    if not re.fullmatch(r"[0-9a-f]{64}", stated):
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stated:
        kept = os.path.realpath(path)
        os.remove(kept)
        raise ValueError(f"{name}: what was kept in {kept} has the wrong checksum and was removed; download it again")
