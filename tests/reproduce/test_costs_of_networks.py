"""Tests costs of networks that the paper's tables do not list."""

import pytest

from keras_resnet.reproduce.costs_of_networks import count_vgg


@pytest.mark.slow
def test_count_vgg_16_parameters_and_macs():
    """Parameters equal keras.applications; MACs of 13 convolutions and 3 dense layers are counted by hand."""
    widths = [(3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56)]
    widths += [(256, 256, 56), (256, 512, 28), (512, 512, 28), (512, 512, 28), *[(512, 512, 14)] * 3]
    adds = sum((9 * before + 1) * after * side**2 for before, after, side in widths)
    adds += sum((before + 1) * after for before, after in ((25088, 4096), (4096, 4096), (4096, 1000)))
    cost = count_vgg(16)
    assert (cost["parameters"], cost["macs"]) == (138_357_544, adds)
