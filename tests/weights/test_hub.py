"""Repositories of the Hugging Face Hub, from a server on this machine that answers like the Hub."""

import hashlib
import http.server
import json
import os
import pathlib
import threading

import pytest
from safetensors.numpy import save
from weights_rig import state_of

from keras_resnet import from_weights
from keras_resnet.weights.hub import fetch_repository
from keras_resnet.weights.loading import load_pretrained

CONFIG = {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 64, 64], "crop_pct": 0.9}}


class Hub(http.server.ThreadingHTTPServer):
    """Holds repositories as {repository: {revision: {file: content}}}; records the requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.asked = {}, []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(False)

    def do_GET(self):
        self._answer(True)

    def _answer(self, whole):
        owner, name, _, revision, file = self.path.lstrip("/").split("?")[0].split("/", 4)
        self.server.asked.append(f"{self.command} {revision} {file}")
        revisions = self.server.repositories.get(f"{owner}/{name}")
        files = (revisions or {}).get(revision)
        code = "RepoNotFound" if revisions is None else "RevisionNotFound" if files is None else "EntryNotFound"
        content = (files or {}).get(file)
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", code)
            content = b""
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if files is not None:
            self.send_header("X-Repo-Commit", files["commit"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if whole:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def content():
    return save(state_of("timm_resnet18d"))


@pytest.fixture
def hub(monkeypatch, tmp_path, content):
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    for name in ("KERAS_RESNET_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    commit = "1" * 40
    files = {"commit": commit, "model.safetensors": content, "config.json": json.dumps(CONFIG).encode()}
    server.repositories["owner/net"] = {"main": files, commit: files}
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def change(hub, **files):
    """Makes a new commit on main."""
    files = hub.repositories["owner/net"]["main"] | {"commit": "2" * 40} | files
    hub.repositories["owner/net"] |= {"main": files, "2" * 40: files}


def test_from_weights_reads_preprocessing_of_a_hub_repository(hub, capsys):
    model = from_weights("hf://owner/net")
    about = model.description.preprocessing
    assert (about.mean, about.image_size, about.crop_pct) == ((127.5,) * 3, 64, 0.9)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"hf://owner/net: revision {'1' * 12}, cached since 20")
    assumed = "images are resized and cropped by interpolation bilinear, the default of such networks"
    assert said[1:] == [f"hf://owner/net: assumed: {assumed}"]


def test_fetch_repository_downloads_only_changed_files(hub, capsys):
    folder = fetch_repository("hf://owner/net")
    assert fetch_repository("hf://owner/net") == folder
    assert sum(line == "GET main model.safetensors" for line in hub.asked) == 1
    other = {"pretrained_cfg": CONFIG["pretrained_cfg"] | {"crop_pct": 0.5}}
    change(hub, **{"config.json": json.dumps(other).encode()})
    assert load_pretrained("hf://owner/net").description.preprocessing.crop_pct == 0.5
    assert sum(line == "GET main model.safetensors" for line in hub.asked) == 1
    assert f"revision {'2' * 12}" in capsys.readouterr().err
    assert load_pretrained(f"hf://owner/net@{'1' * 40}").description.preprocessing.crop_pct == 0.9


def test_fetch_repository_offline_or_unreachable_uses_the_cache(hub, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_RESNET_OFFLINE", "1")
    with pytest.raises(ValueError, match="hf://owner/net: is not cached, and only the cache may be used"):
        fetch_repository("hf://owner/net")
    monkeypatch.delenv("KERAS_RESNET_OFFLINE")
    folder = fetch_repository("hf://owner/net")
    asked = len(hub.asked)
    monkeypatch.setenv("KERAS_RESNET_OFFLINE", "1")
    assert fetch_repository("hf://owner/net") == folder
    assert len(hub.asked) == asked
    monkeypatch.delenv("KERAS_RESNET_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch_repository("hf://owner/net") == folder
    assert capsys.readouterr().err.count("cached since") == 3


def test_load_pretrained_of_a_sharded_hub_repository(hub, content):
    state = state_of("timm_resnet18d")
    first = {name: value for name, value in state.items() if name.startswith("layer")}
    parts = {"a.safetensors": first, "b.safetensors": {name: state[name] for name in state.keys() - first.keys()}}
    where = {name: file for file, part in parts.items() for name in part}
    files = {file: save(part) for file, part in parts.items()}
    files |= {"model.safetensors.index.json": json.dumps({"weight_map": where}).encode(), "commit": "3" * 40}
    hub.repositories["owner/parts"] = {"main": files, "3" * 40: files}
    assert load_pretrained("hf://owner/parts").classes == 1000


def test_fetch_repository_names_missing_repositories_and_files(hub):
    hub.repositories["owner/torch"] = {"main": {"commit": "4" * 40, "pytorch_model.bin": b"x"}}
    for name, said in {
        "hf://owner/none": "the Hub has no such repository, or it is private",
        "hf://owner/net@v9": "the repository has no revision v9",
        "hf://owner/torch": "has no model.safetensors and no model.safetensors.index.json",
    }.items():
        with pytest.raises(ValueError, match=f"^{name}: {said}"):
            fetch_repository(name)


def test_fetch_repository_removes_a_damaged_cached_file(hub):
    path = pathlib.Path(fetch_repository("hf://owner/net"), "model.safetensors")
    kept = pathlib.Path(os.path.realpath(path))
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"has the wrong checksum and was removed; download it again"):
        fetch_repository("hf://owner/net")
    assert pathlib.Path(fetch_repository("hf://owner/net"), "model.safetensors").read_bytes() == whole
