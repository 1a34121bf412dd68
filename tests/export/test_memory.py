"""Memory of a server that loads an export."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from keras_resnet import Spec, build
from keras_resnet.classification.signatures import classification_signatures
from keras_resnet.config import Export
from keras_resnet.export import memory
from keras_resnet.export.graph import answers, fold, plain_network
from keras_resnet.export.saved_model import write_saved_model
from keras_resnet.processor import SERVING

WIDTH = 1024


@pytest.fixture(scope="module")
def wide():
    """Returns a network of 75 MB with tiny images, and its description."""
    spec = Spec(name="wide", stem="cifar", block="basic", depths=(1,), widths=(WIDTH,))
    model = build(spec, input_shape=(8, 8, 3), classes=10)
    return model, replace(model.description, labels=tuple("abcdefghij"))


def written(wide, path):
    model, description = wide
    signatures = classification_signatures(plain_network(fold(answers(model))), description, Export())
    write_saved_model(signatures, str(path), description)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("onednn", ["0", "1"])
def test_memory_holds_weights_once_for_all_signatures(wide, tmp_path, monkeypatch, onednn):
    """Constant weights would take 20 times as much: each of four signatures would hold several copies."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    monkeypatch.setenv("TF_ONEDNN_ASSUME_FROZEN_WEIGHTS", "0")
    weights = 4 * wide[0].count_params()
    found = memory.measure_memory(written(wide, tmp_path / "folded"), (8, 8, 3), (1,))
    assert weights < found["peak"] - found["before"] < 3 * weights
    assert weights < found["swapping_peak"] - found["peak"] < 2 * weights


ANSWER = """
import sys
import numpy as np
import tensorflow as tf

images = tf.constant(np.load(sys.argv[1]))
loaded = [tf.saved_model.load(path) for path in sys.argv[3:]]
names = ("predict_images", "network")
answers = [[model.signatures[name](images=images)["logits"] for model in loaded] for name in names]
np.save(sys.argv[2], np.array(answers))
"""


@pytest.mark.slow
def test_two_versions_in_one_server_use_their_own_weights(wide, tmp_path):
    """oneDNN caches the weights of each convolution, with the kit's settings, and mixes no versions or layers."""
    model, description = wide
    other = build(description.spec, input_shape=(8, 8, 3), classes=10)
    images = np.random.RandomState(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    paths = [written((each, description), tmp_path / str(i)) for i, each in enumerate((model, other))]
    command = [sys.executable, "-c", ANSWER, str(tmp_path / "images.npy"), str(tmp_path / "answers.npy"), *paths]
    subprocess.run(command, check=True, env=os.environ | SERVING)
    expected = [each.predict(images, verbose=0) for each in (model, other)]
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    for answers_of_signature in np.load(tmp_path / "answers.npy"):
        np.testing.assert_allclose(answers_of_signature, expected, rtol=1e-4, atol=1e-5)
