"""Networks run on every Keras backend: JAX builds them and gives the logits of TensorFlow."""

import json

import keras
import numpy as np
import pytest

from keras_resnet import SPECS, build, save_weights, variant

pytest.importorskip("jax")

LOGITS = """
import json, sys
import keras, numpy as np
from keras_resnet import SPECS, build, load_weights, variant
path, output, name, options = sys.argv[1:]
assert "tensorflow" not in sys.modules
model = build(variant(SPECS[name], **json.loads(options)), classes=7, input_shape=(32, 32, 3))
load_weights(model, path)
images = np.random.RandomState(1).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
training = model(images, training=True)  # batch statistics too
np.savez(output, logits=model.predict(images, verbose=0), training=keras.ops.convert_to_numpy(training))
"""


NETWORKS = {"one block": ("cifar_resnet20", {"depths": (1,), "widths": (8,)})}
NETWORKS |= {"resnet18, version 2": ("resnet18", {"version": "2"}), "resnet50": ("resnet50", {})}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), NETWORKS.values(), ids=NETWORKS)
def test_jax_gives_the_same_logits(tmp_path, cli, name, options):
    keras.utils.set_random_seed(0)
    model = build(variant(SPECS[name], **options), classes=7, input_shape=(32, 32, 3))
    random = np.random.RandomState(0)
    for v in model.variables:
        if not v.path.startswith("preprocessing"):
            v.assign(random.uniform(0.5, 1.5, v.shape) if len(v.shape) == 1 else v.numpy())
    save_weights(model, tmp_path / "w.safetensors")
    images = np.random.RandomState(1).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    training = keras.ops.convert_to_numpy(model(images, training=True))
    expected = {"training": training, "logits": model.predict(images, verbose=0)}

    arguments = (tmp_path / "w.safetensors", tmp_path / "jax.npz", name, json.dumps(options))
    process = cli("-c", LOGITS, *arguments, env={"KERAS_BACKEND": "jax"})
    assert process.returncode == 0, process.stderr
    found = np.load(tmp_path / "jax.npz")
    for kind, tolerance in (("logits", 1e-4), ("training", 1e-3)):  # statistics of three images enlarge roundings
        assert np.abs(found[kind] - expected[kind]).max() / np.abs(expected[kind]).max() < tolerance


EVERY_ROW = """
import sys, zlib
import keras, numpy as np
from keras_resnet import SPECS, build
logits = {}
images = np.random.RandomState(1).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
for name, spec in SPECS.items():
    model = build(spec, classes=7, input_shape=(32, 32, 3))
    for v in model.variables:
        if v.dtype == "float32" and not v.path.startswith("preprocessing"):
            random = np.random.default_rng(zlib.crc32(v.path.encode()))
            deviation = np.sqrt(2 / np.prod(v.shape[:-1])) if len(v.shape) > 1 else 0.1
            # A thousand additions must not overflow: every residual function adds a little.
            scale = 0.1 if v.path.endswith("gamma") and spec.skip != "none" else 1.0
            v.assign(scale * (random.standard_normal(v.shape, "float32") * deviation + (len(v.shape) == 1)))
    logits[name] = keras.ops.convert_to_numpy(model(images, training=False))
    del model
    keras.backend.clear_session()
np.savez(sys.argv[1], **logits)
"""


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_network_gives_the_same_logits_on_jax(tmp_path, cli):
    """The same weights, from names and shapes alone, give the same logits on JAX to a relative error of 1e-4."""
    logits = {}
    for backend in ("tensorflow", "jax"):
        output = tmp_path / f"{backend}.npz"
        process = cli("-c", EVERY_ROW, output, env={"KERAS_BACKEND": backend}, timeout=1500)
        assert process.returncode == 0, process.stderr
        logits[backend] = np.load(output)
    for name, expected in logits["tensorflow"].items():
        assert np.isfinite(expected).all(), name
        assert np.abs(logits["jax"][name] - expected).max() / np.abs(expected).max() < 1e-4, name
