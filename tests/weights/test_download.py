"""Published files are downloaded completely, once, and with a checksum; tested with a server on this machine."""

import hashlib
import http.server
import pathlib
import threading

import pytest
from conftest import run
from safetensors.numpy import save
from weights_rig import state_of

from keras_resnet import from_weights
from keras_resnet.weights import published
from keras_resnet.weights.published import Entry, entries, locate

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Gives the responses that a test queues, then the whole file; records the requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.queue, self.asked, self.content, self.etag = [], [], CONTENT, f'"{SHA256}"'
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.asked.append(f"HEAD {self.path}")
        self.send_response(302 if self.path.startswith("/hub") else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("X-Linked-Etag", self.server.etag)
        self.end_headers()

    def do_GET(self):
        self.server.asked.append("GET")
        answer = self.server.queue.pop(0) if self.server.queue else "whole"
        if answer == "error":
            self.send_error(500)
            return
        if answer == "file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        content = {"whole": self.server.content, "short": self.server.content, "other": b"x" * 7000}[answer]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:100] if answer == "short" else content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(published, "WAIT", 0.0)
    for name in published.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def entry(server, checksum=f"sha256:{SHA256}"):
    return Entry(name="test/weights", url=f"{server.url}/files/weights.h5", checksum=checksum.partition(":")[2])


def kept():
    return [path for path in pathlib.Path(published.cache_folder()).rglob("*") if path.is_file()]


def test_fetch_downloads_a_file_once(server):
    path = published.fetch(entry(server))
    assert pathlib.Path(path).read_bytes() == CONTENT
    assert published.fetch(entry(server)) == path
    assert server.asked == ["GET"]


@pytest.mark.parametrize("trouble", ["error", "short"])
def test_fetch_retries_after_errors(server, trouble, capsys):
    server.queue = [trouble, trouble]
    assert pathlib.Path(published.fetch(entry(server))).read_bytes() == CONTENT
    assert capsys.readouterr().err.count("trying again") == 2
    assert len(kept()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["error", "short", "file"])
def test_fetch_keeps_no_incomplete_file(server, trouble):
    server.queue = [trouble] * published.TRIES
    with pytest.raises(ValueError, match=r"test/weights: .* 3 times; nothing was saved"):
        published.fetch(entry(server))
    assert kept() == []


def test_fetch_refuses_a_wrong_checksum_without_retry(server):
    server.queue = ["other"]
    with pytest.raises(ValueError, match=r"has not the checksum .*; nothing was saved"):
        published.fetch(entry(server))
    assert (server.asked, kept()) == (["GET"], [])


def on_the_hub(name):
    return Entry(name=f"timm/{name}", url=f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors")


def test_fetch_checks_the_checksum_of_the_hub(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/hub")
    assert pathlib.Path(published.fetch(on_the_hub("name"))).read_bytes() == CONTENT
    assert server.asked == ["HEAD /hub/timm/name/resolve/main/model.safetensors", "GET"]
    server.etag = f'"{"0" * 64}"'
    with pytest.raises(ValueError, match=f"has not the checksum {'0' * 64}"):
        published.fetch(on_the_hub("other"))


def test_fetch_logs_a_missing_checksum_of_the_hub(server, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/hub")
    server.etag = '"abc"'
    published.fetch(on_the_hub("name"))
    assert "states no checksum, so that none is checked" in capsys.readouterr().err


def test_fetch_offline_uses_only_the_cache(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"is not in .*, and .* forbids downloading it"):
        published.fetch(entry(server))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    path = published.fetch(entry(server))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert published.fetch(entry(server)) == path
    assert server.asked == ["GET"]


def test_from_weights_downloads_by_name(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/hub")
    server.content = save(state_of("torchvision_resnet18"))
    server.etag = f'"{hashlib.sha256(server.content).hexdigest()}"'
    model = from_weights("torchvision/resnet18.IMAGENET1K_V1")
    assert server.asked[0] == "HEAD /hub/timm/resnet18.tv_in1k/resolve/main/model.safetensors"
    assert model.description.source == "torchvision/resnet18.IMAGENET1K_V1"
    assert model.description.preprocessing.image_size == 224


def test_weights_table_is_complete_and_wrong_names_are_refused():
    from keras_resnet import SPECS
    from keras_resnet.detectors import DETECTORS

    assert {each.network for each in entries().values()} >= DETECTORS.keys()
    for name, each in entries().items():
        assert each.network in SPECS or each.network in DETECTORS, name
        if row := DETECTORS.get(each.network):
            assert (each.parameters, each.preprocessing.image_size) == (row.parameters, row.image_size)
            assert 30 < (each.mask_ap or 30.1) < each.box_ap < 60
        assert each.url.startswith("https://"), name
        assert each.license, name
        assert each.recipe.startswith("https://"), name
        assert each.top1 is None or 65 < each.top1 < each.top5 < 100, name
        assert name.startswith(("keras/", "torchvision/", "timm/")), name
    with pytest.raises(ValueError, match=r"did you mean .torchvision/resnet50"):
        locate("torchvision/resnet50.IMAGENET1K_V2x")
    for name in ("hf://../../etc/passwd", "hf://owner", "hf://owner/name@../x", "hf://owner/name@"):
        with pytest.raises(ValueError, match="expected hf://OWNER/NAME or hf://OWNER/NAME@REVISION"):
            locate(name)


def test_cache_folder_is_in_keras_s_home(monkeypatch, tmp_path):
    """`KERAS_HOME`, or ~/.keras, where Keras keeps its own downloads."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "other"))
    assert published.cache_folder() == str(tmp_path / "other" / "keras_resnet")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert published.cache_folder() == str(tmp_path / ".keras" / "keras_resnet")


def test_published_name_without_a_cache_is_one_line(tmp_path):
    """As a new user's first command, on a machine that may download nothing."""
    environment = {"HOME": str(tmp_path), "KERAS_RESNET_OFFLINE": "1"}
    process = run("-m", "keras_resnet", "predict", "torchvision/resnet50.IMAGENET1K_V2", "a.png", env=environment)
    assert process.returncode == 2
    assert process.stderr.startswith(f"error: torchvision/resnet50.IMAGENET1K_V2: is not in {tmp_path}/.keras/")
