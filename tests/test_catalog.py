"""Lists of networks and weights, and networks built by name."""

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet import SPECS, create_model, list_models, list_weights
from keras_resnet.detectors import DETECTORS
from keras_resnet.weights.published import entries


def test_list_models_by_pattern_in_natural_order():
    assert set(list_models()) == set(SPECS)
    assert list_models("resnet[0-9]*[0-9]")[:5] == ["resnet18", "resnet26", "resnet34", "resnet50", "resnet101"]
    assert list_models("cifar_plain*") == [f"cifar_plain{depth}" for depth in (20, 32, 44, 56, 110, 1202)]
    assert list_models("vgg*") == []


def test_list_models_with_weights_equals_the_weights_table():
    assert "plain34" not in list_models(weights=True)
    assert list_models("resnet50", weights=True) == ["resnet50"]
    assert set(list_models(weights=True)) == {entry.network for entry in entries().values()} - {*DETECTORS}
    with pytest.raises(ValueError, match=r"^fasterrcnn_resnet50_fpn is a detector; `keras-resnet predict`"):
        create_model("torchvision/fasterrcnn_resnet50_fpn.COCO_V1")


def test_list_weights_by_pattern():
    assert set(list_weights()) == set(entries())
    assert list_weights("torchvision/resnet50.*") == [
        "torchvision/resnet50.IMAGENET1K_V1",
        "torchvision/resnet50.IMAGENET1K_V2",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "cifar_highway20", "highway19", "seresnet18"])
def test_create_model_by_name_returns_scores_or_logits(name):
    model = create_model(name, classes=3, input_shape=(32, 32, 3))
    assert (model.name, model.output_shape) == (name, (None, 3))
    assert model.layers[-1].activation.__name__ == "softmax"
    logits = create_model(name, classes=3, input_shape=(32, 32, 3), classifier_activation=None)
    logits.set_weights(model.get_weights())
    images = np.random.RandomState(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.softmax(logits(images)), model(images), rtol=1e-5)


@pytest.mark.slow
def test_create_model_has_the_layers_of_the_constructor():
    names, others = ([layer.name for layer in m.layers] for m in (create_model("resnet18"), keras_resnet.ResNet18()))
    assert names == others


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet_50"}, "unknown network 'resnet_50'; did you mean \"resnet50\""),
        ({"name": "vgg16"}, "unknown network 'vgg16'; expected one of \"resnet18\", .* and [0-9]+ others$"),
        ({"name": "resnet18", "classes": -1}, "classes must be a whole number of 1 or more, or None"),
        ({"name": "resnet18", "classes": 0}, "classes must be a whole number of 1 or more, or None"),
        ({"name": "resnet18", "classes": 5, "features_only": True}, "has no classifier"),
        ({"name": "timm/resnet18.a1_in1k", "weights": "imagenet"}, "timm/resnet18.a1_in1k names weights already"),
    ],
)
def test_create_model_names_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "keras_resnet50v2", "cifar_preresnet164", "highway19"])
def test_feature_info_strides_and_channels_equal_the_outputs(name):
    side = 64 if SPECS[name].stem == "cifar" else 128
    model = create_model(name, features_only=True, input_shape=(side, side, 3))
    levels = keras_resnet.feature_info(model)
    assert [level.name for level in levels] == [f"stage{i}" for i in range(1, len(SPECS[name].depths) + 1)]
    for level in levels:
        assert model.output[level.name].shape == (None, side // level.stride, side // level.stride, level.channels)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "keras_resnet50v2"])
def test_create_model_features_equal_the_stages_of_the_classifier(name, tmp_path):
    """Stage outputs from a trained classifier's weights alone, for images of another size."""
    keras.utils.set_random_seed(0)
    classifier = keras_resnet.build(SPECS[name], classes=5, input_shape=(64, 64, 3))
    keras_resnet.save_weights(classifier, str(tmp_path / "weights.safetensors"))
    pyramid = create_model(name, str(tmp_path / "weights.safetensors"), features_only=True)
    assert pyramid.input_shape == (None, None, None, 3)
    last = {}
    for layer in classifier.layers:
        if layer.name.startswith("stage"):
            last[layer.name.split("_")[0]] = layer.output
    images = np.random.RandomState(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    expected, found = keras.Model(classifier.input, last)(images), pyramid(images)
    assert list(found) == list(expected)
    for stage in expected:
        np.testing.assert_allclose(found[stage], expected[stage], rtol=1e-5, atol=1e-5)
    stride = keras_resnet.feature_info(pyramid)[0].stride
    wide = pyramid(np.zeros((1, 96, 32, 3), np.float32))["stage1"]
    assert wide.shape[1:3] == (96 // stride, 32 // stride)


def test_feature_info_refuses_a_classifier():
    with pytest.raises(ValueError, match="expected a network of this package made with features_only=True"):
        keras_resnet.feature_info(keras_resnet.CIFARResNet(20))
