"""The design rules of the paper (He et al. 2015, section 3.3), checked on the built networks."""

import itertools

import keras
import pytest

from keras_resnet import SPECS, build

ROWS = [name for name in SPECS if name.startswith(("resnet", "plain", "cifar_")) and "1202" not in name]
ROWS = [name for name in ROWS if SPECS[name].stem != "deep" and name != "cifar_preresnet1001"]


@pytest.fixture(scope="module", params=ROWS)
def model(request):
    return build(SPECS[request.param])


def convolutions(model, kind="_conv"):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and kind in layer.name]


NETWORKS = ("cifar_highway20", "plain18", "resnet26")


@pytest.mark.sampled(*NETWORKS)
def test_block_filters_are_3x3(model):
    """Exceptions are the stem's 7x7, the bottlenecks' 1x1 and projections."""
    bottleneck = SPECS[model.name].block == "bottleneck"
    for layer in convolutions(model, "block"):
        one = (bottleneck and "_conv2" not in layer.name) or layer.name.endswith("_proj")
        assert layer.kernel_size == ((1, 1) if one else (3, 3)), layer.name
        assert not layer.use_bias or layer.name.endswith("_gate")


@pytest.mark.sampled(*NETWORKS)
def test_width_doubles_when_the_size_halves(model):
    widths = {}
    for layer in convolutions(model, "block"):
        if layer.kernel_size == (3, 3):
            widths.setdefault(layer.output.shape[1], set()).add(layer.filters)
    assert all(len(each) == 1 for each in widths.values())
    by_size = [(size, each.pop()) for size, each in sorted(widths.items(), reverse=True)]
    for (size, width), (next_size, next_width) in itertools.pairwise(by_size):
        assert size == 2 * next_size
        assert 2 * width == next_width


@pytest.mark.sampled(*NETWORKS)
def test_network_has_no_hidden_pooling_dense_layer_or_dropout(model):
    hidden = model.layers[:-1]
    assert not [layer for layer in hidden if isinstance(layer, (keras.layers.Dense, keras.layers.Dropout))]
    pools = [layer for layer in hidden if isinstance(layer, keras.layers.MaxPooling2D) and layer.pool_size != (1, 1)]
    assert [layer.name for layer in pools] == (["stem_pool"] if SPECS[model.name].stem == "imagenet" else [])


@pytest.mark.sampled(*NETWORKS)
def test_network_ends_with_average_pooling_and_one_dense_layer(model):
    assert [type(layer).__name__ for layer in model.layers[-2:]] == ["GlobalAveragePooling2D", "Dense"]
