"""Downloads, writes and uploads repositories of the Hugging Face Hub.

huggingface_hub (extra `hub`) transfers and caches the files, and reads $HF_HOME and $HF_TOKEN. Only what needs the Hub
imports it; `write_hub_folder` does not.
"""

import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import replace

import keras

from keras_resnet import __version__
from keras_resnet.description import height_and_width
from keras_resnet.errors import needs, one_line
from keras_resnet.files import unique_suffix, write_synced
from keras_resnet.model_card import input_lines, model_card
from keras_resnet.weights.model_config import CONFIG, PROCESSOR
from keras_resnet.weights.native import save_weights
from keras_resnet.weights.published import HUB_FILE, HUB_INDEX, OFFLINE, hub_endpoint, is_offline, parse_hub_name
from keras_resnet.weights.reading import files_of


def fetch_repository(name: str) -> str:
    """Downloads the files of hf://OWNER/NAME or hf://OWNER/NAME@REVISION that are not in huggingface_hub's cache.

    Every call asks the Hub for changes, downloads only changed files, and prints the revision.

    Returns:
        A folder with the weights (model.safetensors, or several files and their index), and with config.json and
        preprocessor_config.json if the repository has them.

    Raises:
        ValueError: huggingface_hub is not installed; the repository does not exist, has no such weights, or has
            damaged ones; or the Hub cannot be reached and the files are not in the cache.
    """
    repository, revision = parse_hub_name(name)
    with _library(name):
        from huggingface_hub import errors
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


@contextlib.contextmanager
def _library(subject):
    """Turns a missing huggingface_hub into a `ValueError` that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise ValueError(f"{subject}: {needs('huggingface_hub', 'hub')}") from None


def _fetch_weights(repository, revision):
    """Downloads all weights files and returns their paths."""
    from huggingface_hub import errors, try_to_load_from_cache

    try:
        return [_fetch(repository, revision, HUB_FILE)]
    except errors.LocalEntryNotFoundError:  # another file would be asked for as often, for half a minute
        index = try_to_load_from_cache(repository, HUB_INDEX, revision=revision)
        if not isinstance(index, str):
            raise
    except errors.EntryNotFoundError:
        if not (index := _fetch_if_there(repository, revision, HUB_INDEX)):
            raise
    commit = os.path.basename(os.path.dirname(index))
    return [_fetch(repository, commit, file) for file in files_of(index)]


def _fetch(repository, revision, file):
    from huggingface_hub import hf_hub_download

    return hf_hub_download(repository, file, revision=revision, endpoint=hub_endpoint(), local_files_only=is_offline())


def _fetch_if_there(repository, revision, file):
    from huggingface_hub import errors, try_to_load_from_cache

    kept = try_to_load_from_cache(repository, file, revision=revision)
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


def write_hub_folder(
    target: str,
    model: keras.Model,
    text: str,
    license: str | None = None,
    pictures: list[str] | None = None,
    repository: str | None = None,
) -> None:
    """Writes model.safetensors, config.json and README.md to a temporary folder, and renames it.

    Args:
        target: path of the folder, which must not exist.
        model: a network of this package.
        text: Markdown for the model card: a description of the weights and their accuracy.
        license: license of the weights, as the Hub names it.
        pictures: image files in the text, which are copied to the folder.
        repository: "OWNER/NAME" for the model card, if it is known.

    Raises:
        OSError: the folder cannot be written; no part of it is kept.
    """
    name = os.path.basename(os.path.abspath(target))
    card = model_card(name, model.description.spec.name, _text(model, text, repository or f"OWNER/{name}"), license)
    staging = f"{target.rstrip(os.sep)}.{unique_suffix()}"
    try:
        os.makedirs(staging)
        save_weights(model, os.path.join(staging, HUB_FILE))
        write_synced(os.path.join(staging, CONFIG), json.dumps(_config(model), indent=1).encode())
        write_synced(os.path.join(staging, "README.md"), card.encode())
        for picture in pictures or []:
            if os.path.isfile(picture):
                shutil.copy(picture, staging)
        os.rename(staging, target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _config(model):
    """Returns the content of config.json, in timm's format."""
    about = model.description
    spec, preprocessing = about.spec, about.preprocessing
    height, width = height_and_width(preprocessing.image_size or spec.image_size)
    return {
        "architecture": spec.name,
        "version": spec.version,
        "num_classes": model.output.shape[-1],
        "label_names": list(about.labels),
        "pretrained_cfg": {
            "input_size": [model.input.shape[-1], height, width],
            "mean": [value / 255 for value in preprocessing.mean],
            "std": [value / 255 for value in preprocessing.std],
            "crop_pct": preprocessing.crop_pct,
            "interpolation": preprocessing.interpolation,
        },
        "library_name": "keras_resnet",
    }


def _text(model, text, repository):
    """Returns the text of the model card: `text`, and how to load the model."""
    spec, preprocessing = model.description.spec, model.description.preprocessing
    sigmoid = ', classifier_activation="sigmoid"' if model.description.thresholds else ""
    return "\n".join(
        [
            text,
            "",
            "## Use",
            "",
            "```python",
            "import keras_resnet",
            "",
            f'model = keras_resnet.from_weights("hf://{repository}"{sigmoid})',
            f"scores = model(images)  # (N, H, W, {model.input.shape[-1]}) -> (N, {model.output.shape[-1]})",
            "```",
            "",
            *input_lines(replace(preprocessing, channels=model.input.shape[-1])),
            "",
            f"Network: `{spec.name}`, version {spec.version}, {model.count_params():,} parameters, moving statistics",
            "included.",
        ]
    )


def check_upload(repository: str) -> None:
    """Checks without the network that a folder can be uploaded, before the time to write it is spent.

    Raises:
        ValueError: huggingface_hub is not installed, `repository` is not OWNER/NAME, the Hub must not be used, or
            nobody is logged in.
    """
    with _library(repository):
        from huggingface_hub import errors, get_token, utils
    try:
        utils.validate_repo_id(repository)
        allowed = "/" in repository
    except errors.HFValidationError:
        allowed = False
    if not allowed:
        raise ValueError(f"{repository}: expected OWNER/NAME, such as alice/my-resnet")
    if is_offline():
        raise ValueError(f"{repository}: {' or '.join(OFFLINE)} or --offline forbids uploading")
    if not get_token():
        raise ValueError(f"{repository}: nobody is logged in: run `hf auth login`, or set HF_TOKEN to your token")


def upload_folder(folder: str, repository: str) -> str:
    """Creates the repository if it does not exist, and uploads the files of a folder.

    Returns:
        The URL of the commit.

    Raises:
        ValueError: as of `check_upload`; the Hub cannot be reached; or it refuses the token or the files.
    """
    check_upload(repository)
    from huggingface_hub import HfApi, errors

    api = HfApi(hub_endpoint(), library_name="keras_resnet", library_version=__version__)
    try:
        api.create_repo(repository, exist_ok=True)
        message = f"Upload {os.path.basename(os.path.abspath(folder))} with keras_resnet {__version__}"
        return api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message).commit_url
    except errors.HfHubHTTPError as error:
        if error.response.status_code == 401:
            why = "the Hub does not accept the token: run `hf auth login`, or set HF_TOKEN to your token"
        elif error.response.status_code == 403:
            why = "the token has no right to write there"
        else:
            why = f"cannot be uploaded ({one_line(error)})"
        raise ValueError(f"{repository}: {why}") from None
    except errors.HTTPError:  # of the HTTP library: no connection, a timeout
        raise ValueError(f"{repository}: {api.endpoint} cannot be reached") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError is that of a file's transfer
        raise ValueError(f"{repository}: cannot be uploaded ({one_line(error)})") from None
