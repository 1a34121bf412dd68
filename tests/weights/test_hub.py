"""Repositories of the Hugging Face Hub, from a server on this machine that answers like the Hub."""

import json
import os
import pathlib
from dataclasses import replace

import keras
import numpy as np
import pytest
from hub_stand_in import Hub
from safetensors.numpy import save
from weights_rig import state_of

from keras_resnet import SPECS, CIFARResNet, build, from_weights, save_weights
from keras_resnet.commands.entry import call
from keras_resnet.errors import ConfigError
from keras_resnet.weights.hub import fetch_repository, upload_folder, write_hub_folder
from keras_resnet.weights.loading import load_pretrained

CONFIG = {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 64, 64], "crop_pct": 0.9}}


@pytest.fixture(scope="module")
def content():
    return save(state_of("timm_resnet18d"))


@pytest.fixture
def hub(monkeypatch, tmp_path, content):
    with Hub() as server:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the stand-in speaks LFS only
        monkeypatch.setenv("HF_TOKEN", server.token)
        for name in ("KERAS_RESNET_OFFLINE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        commit = "1" * 40
        files = {"commit": commit, "model.safetensors": content, "config.json": json.dumps(CONFIG).encode()}
        server.repositories["owner/net"] = {"main": files, commit: files}
        yield server


def change(hub, **files):
    """Makes a new commit on main."""
    files = hub.repositories["owner/net"]["main"] | {"commit": "2" * 40} | files
    hub.repositories["owner/net"] |= {"main": files, "2" * 40: files}


@pytest.mark.slow
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


@pytest.mark.slow
def test_load_pretrained_of_a_sharded_hub_repository(hub, content, monkeypatch):
    state = state_of("timm_resnet18d")
    first = {name: value for name, value in state.items() if name.startswith("layer")}
    parts = {"a.safetensors": first, "b.safetensors": {name: state[name] for name in state.keys() - first.keys()}}
    where = {name: file for file, part in parts.items() for name in part}
    files = {file: save(part) for file, part in parts.items()}
    files |= {"model.safetensors.index.json": json.dumps({"weight_map": where}).encode(), "commit": "3" * 40}
    hub.repositories["owner/parts"] = {"main": files, "3" * 40: files}
    assert load_pretrained("hf://owner/parts").classes == 1000
    asked = len(hub.asked)
    monkeypatch.setenv("KERAS_RESNET_OFFLINE", "1")
    assert load_pretrained("hf://owner/parts").classes == 1000
    assert len(hub.asked) == asked


def test_fetch_repository_names_missing_repositories_and_files(hub):
    hub.repositories["owner/torch"] = {"main": {"commit": "4" * 40, "pytorch_model.bin": b"x"}}
    for name, said in {
        "hf://owner/none": "the Hub has no such repository, or it is private",
        "hf://owner/net@v9": "the repository has no revision v9",
        "hf://owner/torch": "has no model.safetensors and no model.safetensors.index.json",
    }.items():
        with pytest.raises(ValueError, match=f"^{name}: {said}"):
            fetch_repository(name)


@pytest.mark.slow
def test_fetch_repository_removes_a_damaged_cached_file(hub):
    path = pathlib.Path(fetch_repository("hf://owner/net"), "model.safetensors")
    kept = pathlib.Path(os.path.realpath(path))
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"has the wrong checksum and was removed; download it again"):
        fetch_repository("hf://owner/net")
    assert pathlib.Path(fetch_repository("hf://owner/net"), "model.safetensors").read_bytes() == whole


@pytest.fixture
def weights(tmp_path):
    keras.utils.set_random_seed(0)
    model = CIFARResNet(20, classes=10)
    path = str(tmp_path / "weights.safetensors")
    save_weights(model, path)
    return path


def test_hub_card_of_several_labels_names_their_activation_and_that_of_many_channels_their_units(tmp_path, capsys):
    model = build(SPECS["cifar_resnet8"], classes=2, input_shape=(8, 8, 5), mean=(9.0,) * 5, std=(2.0,) * 5)
    model.description = replace(model.description, labels=("a", "b"), thresholds=(0.25, 0.5))
    write_hub_folder(str(tmp_path / "net"), model, "Text.")
    card = (tmp_path / "net/README.md").read_text()
    assert 'from_weights("hf://OWNER/net", classifier_activation="sigmoid")' in card
    assert "(N, H, W, 5) -> (N, 2)" in card
    assert "Images are arrays of 5 channels in the units of the training files; " in card
    loaded = from_weights(str(tmp_path / "net"), classifier_activation="sigmoid")
    images = np.random.RandomState(0).uniform(0, 20, (2, 8, 8, 5)).astype("float32")
    np.testing.assert_allclose(loaded(images), keras.ops.sigmoid(model(images)), rtol=1e-4)
    assert loaded.description.thresholds == (0.25, 0.5)
    assert "activation" not in capsys.readouterr().err
    from_weights(str(tmp_path / "net"))
    assert 'has several labels; classifier_activation="sigmoid" returns its scores' in capsys.readouterr().err


@pytest.mark.slow
def test_package_for_hub_push_to_round_trip(hub, weights, tmp_path, capsys):
    call("package-for-hub", [weights, str(tmp_path / "my-resnet"), "--push_to=owner/my-resnet"])
    said = capsys.readouterr().out
    assert f"{hub.url}/owner/my-resnet/commit/" in said
    assert said.endswith('Next: keras_resnet.from_weights("hf://owner/my-resnet")\n')
    files = hub.repositories["owner/my-resnet"]["main"]
    written = {path.name: path.read_bytes() for path in (tmp_path / "my-resnet").iterdir()}
    assert {name: files[name] for name in files if name != "commit"} == written
    assert b'from_weights("hf://owner/my-resnet")' in files["README.md"]
    for found, expected in zip(
        from_weights("hf://owner/my-resnet").weights, from_weights(weights).weights, strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_upload_folder_replaces_files_of_an_existing_repository(hub, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_text("{}")
    upload_folder(str(tmp_path / "net"), "owner/net")
    files = hub.repositories["owner/net"]["main"]
    assert (files["config.json"], len(files["model.safetensors"]) > 1000) == (b"{}", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "repository", "said"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "owner/my", "owner/my: KERAS_RESNET_OFFLINE or HF_HUB_OFFLINE or --offline forbids"),
        ({"HF_TOKEN": ""}, "owner/my", "owner/my: nobody is logged in: run `hf auth login`, or set HF_TOKEN"),
        ({}, "my", "my: expected OWNER/NAME, such as alice/my-resnet"),
        ({}, "owner/a--b", "owner/a--b: expected OWNER/NAME"),
    ],
)
def test_package_for_hub_push_to_is_checked_before_writing(
    change, repository, said, hub, weights, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no_token"))
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as error:
        call("package-for-hub", [weights, str(tmp_path / "my"), f"--push_to={repository}"])
    assert str(error.value).startswith(f"--push_to={said}")
    assert hub.asked == []
    assert not (tmp_path / "my").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "endpoint", "repository", "said"),
    [
        ("hf_other", None, "owner/my", "owner/my: the Hub does not accept the token: run `hf auth login`"),
        ("hf_secret", None, "somebody/my", "somebody/my: the token has no right to write there"),
        ("hf_secret", "http://127.0.0.1:9", "owner/my", "owner/my: http://127.0.0.1:9 cannot be reached"),
    ],
)
def test_package_for_hub_push_to_error_keeps_the_folder(
    token, endpoint, repository, said, hub, weights, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", token)
    if endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    folder = str(tmp_path / "my")
    with pytest.raises(ConfigError) as error:
        call("package-for-hub", [weights, folder, f"--push_to={repository}"])
    assert str(error.value).startswith(f"--push_to={said}")
    assert str(error.value).endswith(f"; {folder} is complete: hf upload {repository} {folder}")
    assert len(os.listdir(folder)) == 3
