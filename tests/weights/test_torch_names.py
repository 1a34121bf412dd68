"""Files for torchvision and timm: names, shapes and types of the library, and the round trip."""

import json

import numpy as np
import pytest
import seeded
from conftest import GOLDEN
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from weights_rig import TORCH, state_of

from keras_resnet import SPECS, build, from_weights, save_weights, variant
from keras_resnet.weights.native import named_variables


@pytest.mark.slow
@pytest.mark.parametrize("fixture", TORCH)
def test_torch_weights_round_trip_is_bit_identical(fixture, tmp_path):
    """save_weights restores every name, shape, type and bit of the library's file, so that it loads strictly there."""
    state, theirs, again = state_of(fixture), str(tmp_path / "theirs"), str(tmp_path / "again")
    save_file(state, theirs)
    model = from_weights(theirs, classifier_activation=None)
    save_weights(model, again, to=fixture.split("_")[0])
    written = load_file(again)
    listing = json.loads((GOLDEN / f"{fixture}.json").read_text())
    assert {(name, tuple(shape)) for name, shape, _ in listing} == {(n, v.shape) for n, v in written.items()}
    for name, value in state.items():
        assert written[name].dtype == value.dtype
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(written[name], value)
    with safe_open(again, "numpy") as file:
        assert file.metadata()["format"] == "pt"  # which the Hub's readers ask for

    back = from_weights(again, classifier_activation=None)
    assert back.description.spec == model.description.spec
    for one, other in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "library", "reason"),
    [
        (SPECS["resnet50"], "timm", "resnet50: has stride_in='1x1', timm's networks have '3x3'"),
        (SPECS["resnet50d"], "torchvision", "resnet50d: has stem='deep', torchvision's networks have 'imagenet'"),
        (variant(SPECS["resnet18"], shortcut="C"), "timm", "resnet18: has shortcut='C'"),
        (SPECS["cifar_resnet20"], "timm", "cifar_resnet20: has shortcut='A'"),
        (variant(SPECS["cifar_resnet20"], shortcut="B"), "timm", "has a stem for small images"),
        (SPECS["keras_resnet50v2"], "timm", "has conv_bias='unnormalized'"),
        (SPECS["plain18"], "torchvision", "has skip='none'"),
    ],
)
def test_save_weights_refuses_networks_that_a_library_lacks(spec, library, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        save_weights(build(spec, input_shape=(32, 32, 3)), str(tmp_path / "x"), to=library)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_from_weights_with_other_heads_and_input_shapes(tmp_path):
    path = str(tmp_path / "resnet18.safetensors")
    save_file(state_of("torchvision_resnet18"), path)
    whole = from_weights(path, classifier_activation=None)
    images = seeded.images("rect").astype(np.float32)[:, :64, :96]

    features = from_weights(path, include_top=False, pooling="avg")
    kernel, bias = whole.get_layer("logits").get_weights()
    any_size = from_weights(path, classifier_activation=None, input_shape=(64, 96, 3)).predict(images, verbose=0)
    np.testing.assert_allclose(features.predict(images, verbose=0) @ kernel + bias, any_size, rtol=1e-4, atol=1e-4)

    ten = from_weights(path, classes=10)
    assert ten.output_shape == (None, 10)
    np.testing.assert_array_equal(*(each.get_layer("stem_conv").get_weights()[0] for each in (ten, whole)))
    for channels in (1, 4):
        model = from_weights(path, input_shape=(64, 64, channels))
        assert model.get_layer("stem_conv").kernel.shape[2] == channels
        others = set(named_variables(model)) - {"stem_conv/kernel"}
        for name in others:
            np.testing.assert_array_equal(named_variables(model)[name], named_variables(whole)[name])
