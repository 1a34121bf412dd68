"""Channels-first networks run on every CPU, with and without oneDNN, which provides TensorFlow's kernels for them.

`make test-kernels` runs these tests with the other setting of oneDNN.
"""

import keras
import numpy as np
import pytest

from keras_resnet.builder import build
from keras_resnet.layers import ChannelsFirstConv2D
from keras_resnet.specs import SPECS, variant

IMAGES = np.random.RandomState(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")


@pytest.mark.sampled("resnet50")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cifar_highway20", {"widths": (16, 32)}),
        ("resnet18", {"widths": (64, 128), "se_reduction": 16}),
        ("resnet50", {"widths": (64, 128), "groups": 32, "width_per_group": 4}),
    ],
    ids=("cifar_highway20", "resnet18", "resnet50"),
)
def test_channels_first_networks_predict_train_and_save(tmp_path, name, options):
    """They predict as the channels-last networks do, train, and can be saved.

    Rounding: about 8 layers, each a sum of up to 1,152 products whose error grows as the square root of their number,
    in units of 6e-8: 8 * 34 * 6e-8 = 2e-5 of the largest logit.
    """
    spec, models = variant(SPECS[name], depths=(1, 1), **options), {}
    for order, shape in (("channels_last", (16, 16, 3)), ("channels_first", (3, 16, 16))):
        keras.config.set_image_data_format(order)
        models[order] = build(spec, classes=3, input_shape=shape)
    try:
        last, first = models.values()
        first.set_weights(last.get_weights())
        assert [v.path for v in first.variables] == [v.path for v in last.variables]
        turned = IMAGES.transpose(0, 3, 1, 2)
        expected = last.predict(IMAGES, verbose=0)
        found = {"predict": first.predict(turned, verbose=0)}
        first.save(tmp_path / "model.keras")
    finally:
        keras.config.set_image_data_format("channels_last")
    found["saved"] = keras.models.load_model(tmp_path / "model.keras").predict(turned, verbose=0)
    errors = {kind: np.abs(logits - expected).max() / np.abs(expected).max() for kind, logits in found.items()}
    assert max(errors.values()) < 2e-5, errors

    before = first.get_layer("stem_conv").kernel.numpy()
    first.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first.fit(turned, np.array([0, 1, 2, 0]), epochs=1, verbose=0)
    assert np.abs(first.get_layer("stem_conv").kernel.numpy() - before).max() > 0


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
