"""Channels-first networks run on every CPU, with and without oneDNN, which provides TensorFlow's kernels for them."""

import json

import keras
import numpy as np
import pytest

from keras_resnet.builder import build
from keras_resnet.layers import ChannelsFirstConv2D
from keras_resnet.specs import SPECS, variant

CHANNELS_FIRST = """
import sys, json
import keras, numpy as np
import keras_resnet
from keras_resnet import SPECS, build, variant
folder = sys.argv[1]
images = np.random.RandomState(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
errors = {}
for name, changes in (
    ("cifar_highway20", {"widths": (16, 32)}),
    ("resnet18", {"widths": (64, 128), "se_reduction": 16}),
    ("resnet50", {"widths": (64, 128), "groups": 32, "width_per_group": 4}),
):
    spec, models = variant(SPECS[name], depths=(1, 1), **changes), {}
    for order in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(order)
        shape = (16, 16, 3) if order == "channels_last" else (3, 16, 16)
        models[order] = build(spec, classes=3, input_shape=shape)
    last, first = models.values()
    first.set_weights(last.get_weights())
    assert [v.path for v in first.variables] == [v.path for v in last.variables]
    turned = images.transpose(0, 3, 1, 2)
    expected = last.predict(images, verbose=0)
    path = f"{folder}/{name}.keras"
    first.save(path)
    found = {"predict": first.predict(turned, verbose=0)}
    keras.config.set_image_data_format("channels_last")
    found["saved"] = keras.models.load_model(path).predict(turned, verbose=0)
    for kind, logits in found.items():
        errors[f"{name} {kind}"] = float(np.abs(logits - expected).max() / np.abs(expected).max())
    before = first.get_layer("stem_conv").kernel.numpy()
    first.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first.fit(turned, np.array([0, 1, 2, 0]), epochs=1, verbose=0)
    assert np.abs(first.get_layer("stem_conv").kernel.numpy() - before).max() > 0
print(json.dumps(errors))
"""


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_channels_first_networks_run_with_and_without_onednn(tmp_path, cli, onednn):
    """They predict as the channels-last networks do, train, and can be saved.

    Rounding: about 8 layers, each a sum of up to 1,152 products whose error grows as the square root of their number,
    in units of 6e-8: 8 * 34 * 6e-8 = 2e-5 of the largest logit.
    """
    process = cli("-c", CHANNELS_FIRST, tmp_path, env={"TF_ENABLE_ONEDNN_OPTS": onednn, "CUDA_VISIBLE_DEVICES": ""})
    assert process.returncode == 0, process.stderr
    errors = json.loads(process.stdout.splitlines()[-1])
    assert len(errors) == 6
    assert max(errors.values()) < 2e-5, errors


def test_convolution_class_follows_the_image_data_format():
    """Channels-last files keep Keras's class; channels-first files name this package's class."""
    network = variant(SPECS["cifar_resnet20"], depths=(1,), widths=(4,))
    assert type(build(network).get_layer("stem_conv")) is keras.layers.Conv2D
    keras.config.set_image_data_format("channels_first")
    try:
        model = build(network)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert type(model.get_layer("stem_conv")) is ChannelsFirstConv2D
    copy = keras.models.clone_model(model)
    assert type(copy.get_layer("stem_conv")) is ChannelsFirstConv2D
    assert copy(np.zeros((1, 3, 32, 32))).shape == (1, 10)
