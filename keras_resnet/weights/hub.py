"""hf://OWNER/NAME and hf://OWNER/NAME@REVISION -> a folder on this disk, by huggingface_hub.

Files are kept where all programs that use huggingface_hub have them ($HF_HOME), and asked for again each time: what
changed on the Hub since is fetched, the rest is not. Private repositories open with $HF_TOKEN.
"""

import datetime
import hashlib
import os
import re
import sys

import huggingface_hub
from huggingface_hub import errors

from keras_resnet.weights.download import hub_endpoint, is_offline
from keras_resnet.weights.model_config import CONFIG, PROCESSOR
from keras_resnet.weights.published import HUB_FILE, HUB_INDEX, parse_hub_name
from keras_resnet.weights.shards import files_of


def fetch_repository(name: str) -> str:
    """Fetches what of a repository is not kept here yet, and tells which revision it is.

    Returns:
        A folder with the weights (model.safetensors, or several files and their index), and with config.json and
        preprocessor_config.json where the repository has them.

    Raises:
        ValueError: there is no such repository, it has no such weights, they are damaged, or it cannot be reached and
            is not kept here.
    """
    repository, revision = parse_hub_name(name)
    try:
        weights = _fetch_weights(repository, revision)
        folder = os.path.dirname(weights[0])
        commit = os.path.basename(folder)  # the files beside are of the same one, whatever comes meanwhile
        for beside in (CONFIG, PROCESSOR):
            _fetch_if_there(repository, commit, beside)
    except errors.GatedRepoError:
        raise ValueError(f"{name}: is open to whom its owner lets in; set HF_TOKEN to an account's token") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{name}: the repository has no revision {revision}") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(f"{name}: the Hub has no such repository, or it is private (HF_TOKEN)") from None
    except errors.LocalEntryNotFoundError:
        why = "only what is kept here may be used" if is_offline() else "the Hub cannot be reached"
        raise ValueError(f"{name}: is not kept here, and {why}") from None
    except errors.EntryNotFoundError:
        raise ValueError(f"{name}: has no {HUB_FILE} and no {HUB_INDEX}") from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise ValueError(f"{name}: cannot be fetched ({' '.join(str(error).split())[:200]})") from None
    for path in weights:
        _check_content(path, name)
    since = datetime.date.fromtimestamp(os.path.getmtime(weights[0]))
    print(f"{name}: revision {commit[:12]}, kept here since {since}", file=sys.stderr)
    return folder


def _fetch_weights(repository, revision):
    """The paths of all files of weights."""
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
    if kept is not None and re.fullmatch(r"[0-9a-f]{40}", revision):  # of a commit, what is known stays so
        return kept if isinstance(kept, str) else None
    try:
        return _fetch(repository, revision, file)
    except errors.EntryNotFoundError:
        return None


def _check_content(path, name):
    """huggingface_hub keeps a large file under its sha256, and compares no more than its size."""
    stated = os.path.basename(os.path.realpath(path))
    if not re.fullmatch(r"[0-9a-f]{64}", stated):
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stated:
        kept = os.path.realpath(path)
        os.remove(kept)
        raise ValueError(f"{name}: what was kept in {kept} has not its checksum, and is removed; fetch it again")
