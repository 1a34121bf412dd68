"""Errors name files that are not weights."""

import gzip
import json

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save

from keras_resnet.weights.reading import read_weights

INDEX = {"metadata": {"total_size": 8}, "weight_map": {"conv1.weight": "model-00001-of-00002.safetensors"}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"", "is empty; download"),
        (
            "a.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "is a Git LFS pointer, not the weights",
        ),
        ("a.safetensors", b"\n<!DOCTYPE html><html></html>", "is an HTML page, not weights"),
        ("a.pth", b"<HTML><body>404</body></HTML>", "is an HTML page, not weights"),
        ("model.safetensors.index.json", json.dumps(INDEX).encode(), "model-00001-of-00002.safetensors is not beside"),
        ("index.json", b'{"weight_map": {"a": "../b.safetensors"}}', "'../b.safetensors' is no name of a file beside"),
        ("index.json", b'{"weight_map": {"a": "b.bin"}}', "b.bin is not safetensors; save the weights with"),
        ("a.index.json", b'{"weight_map": 3}', "is no index of weights; expected"),
        ("a.index.json", b"{}", "is no index of weights; expected"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "is an image, not weights"),
        ("a.safetensors.gz", gzip.compress(save({"a": np.ones(2, np.float32)}), mtime=0), "is compressed with gzip"),
    ],
)
@pytest.mark.parametrize("torch_allowed", [False, True])
def test_read_weights_names_files_that_are_not_weights(name, content, message, torch_allowed, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^\S+{name}: {message}[^\n]*$"):
        read_weights(path, torch_allowed)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("saved_model.pb", "a SavedModel is a program"),
        (".metadata", "it is a torch.distributed.checkpoint"),
        ("pytorch_model.bin", "convert pytorch_model.bin: keras-resnet convert-weights "),
        ("notes.txt", "it contains no model.safetensors"),
        ("weights/best.safetensors", r"it is a run; its best weights are \S+weights/best\.safetensors"),
    ],
)
def test_read_weights_names_folders_without_weights(member, message, tmp_path):
    (tmp_path / member).parent.mkdir(exist_ok=True)
    (tmp_path / member).write_bytes(b"{}")
    with pytest.raises(ValueError, match=rf"is a folder, not a file of weights \({message}[^\n]*\)$"):
        read_weights(tmp_path)


def test_read_weights_of_a_sharded_file(tmp_path):
    """Only tensors in the index are read: a file may hold more."""
    arrays = {name: np.full(2, i, np.float32) for i, name in enumerate("abc")}
    (tmp_path / "model-1.safetensors").write_bytes(save({"a": arrays["a"], "b": arrays["b"], "c": arrays["a"]}))
    (tmp_path / "model-2.safetensors").write_bytes(save({"c": arrays["c"]}))
    where = {"a": "model-1.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": where}))
    for path in (tmp_path, index):
        tensors, strings = read_weights(path)
        assert ({name: value[0] for name, value in tensors.items()}, strings) == ({"a": 0, "b": 1, "c": 2}, {})
    index.write_text(json.dumps({"weight_map": where | {"d": "model-2.safetensors"}}))
    with pytest.raises(ValueError, match=r"index\.json: d is not in model-2\.safetensors, where it should be"):
        read_weights(tmp_path)


def test_read_weights_refuses_a_tensorflow_1_checkpoint(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("resnet_model/conv2d/kernel", (3, 3, 3, 4))
        session.run(tf.compat.v1.global_variables_initializer())
        prefix = tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"), global_step=7)
    for name in (prefix, f"{prefix}.index", f"{prefix}.meta", f"{prefix}.data-00000-of-00001"):
        with pytest.raises(ValueError, match=r"model\.ckpt-7: is a checkpoint of TensorFlow 1 \(its first v"):
            read_weights(name)


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_read_weights_accepts_any_file_of_a_checkpoint(ending, tmp_path):
    prefix = tf.train.Checkpoint(x=tf.Variable([1.0, 2.0])).write(str(tmp_path / "ckpt"))
    tensors, _ = read_weights(f"{prefix}{ending}")
    assert {name: value.tolist() for name, value in tensors.items()} == {"x/.ATTRIBUTES/VARIABLE_VALUE": [1.0, 2.0]}
