"""Published files come whole, checked and once; tested against a server on this machine."""

import hashlib
import http.server
import pathlib
import threading

import pytest
from safetensors.numpy import save
from weights_rig import state_of

from keras_resnet import from_weights
from keras_resnet.weights import download
from keras_resnet.weights.published import Entry, entries, locate

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers with what the test queues, then with the whole file; keeps the methods that were asked."""

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
    monkeypatch.setattr(download, "WAIT", 0.0)
    for name in download.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def entry(server, checksum=f"sha256:{SHA256}"):
    return Entry(name="test/weights", url=f"{server.url}/files/weights.h5", checksum=checksum.partition(":")[2])


def kept():
    return [path for path in pathlib.Path(download.cache_folder()).rglob("*") if path.is_file()]


def test_a_file_is_fetched_once(server):
    path = download.fetch(entry(server))
    assert pathlib.Path(path).read_bytes() == CONTENT
    assert download.fetch(entry(server)) == path
    assert server.asked == ["GET"]


@pytest.mark.parametrize("trouble", ["error", "short"])
def test_trouble_is_tried_again(server, trouble, capsys):
    server.queue = [trouble, trouble]
    assert pathlib.Path(download.fetch(entry(server))).read_bytes() == CONTENT
    assert capsys.readouterr().err.count("trying again") == 2
    assert len(kept()) == 1


@pytest.mark.parametrize("trouble", ["error", "short", "file"])
def test_nothing_is_kept_of_what_never_comes_whole(server, trouble):
    server.queue = [trouble] * download.TRIES
    with pytest.raises(ValueError, match=r"test/weights: .* 3 times; nothing was saved"):
        download.fetch(entry(server))
    assert kept() == []


def test_another_file_is_refused_at_once(server):
    server.queue = ["other"]
    with pytest.raises(ValueError, match=r"has not the checksum .*; nothing was saved"):
        download.fetch(entry(server))
    assert (server.asked, kept()) == (["GET"], [])


def on_the_hub(name):
    return Entry(name=f"timm/{name}", url=f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors")


def test_the_hub_states_the_checksum(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/hub")
    assert pathlib.Path(download.fetch(on_the_hub("name"))).read_bytes() == CONTENT
    assert server.asked == ["HEAD /hub/timm/name/resolve/main/model.safetensors", "GET"]
    server.etag = f'"{"0" * 64}"'
    with pytest.raises(ValueError, match=f"has not the checksum {'0' * 64}"):
        download.fetch(on_the_hub("other"))


def test_a_server_that_states_none_is_told(server, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/hub")
    server.etag = '"abc"'
    download.fetch(on_the_hub("name"))
    assert "states no checksum, so that none is checked" in capsys.readouterr().err


def test_offline_means_offline(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=r"is not in .*, and .* forbids downloading it"):
        download.fetch(entry(server))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    path = download.fetch(entry(server))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert download.fetch(entry(server)) == path
    assert server.asked == ["GET"]


def test_a_model_comes_by_its_name(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/hub")
    server.content = save(state_of("torchvision_resnet18"))
    server.etag = f'"{hashlib.sha256(server.content).hexdigest()}"'
    model = from_weights("torchvision/resnet18.IMAGENET1K_V1")
    assert server.asked[0] == "HEAD /hub/timm/resnet18.tv_in1k/resolve/main/model.safetensors"
    assert model.description.source == "torchvision/resnet18.IMAGENET1K_V1"
    assert model.description.preprocessing.image_size == 224


def test_the_table_is_whole():
    from keras_resnet import SPECS

    for name, each in entries().items():
        assert each.network in SPECS, name
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
