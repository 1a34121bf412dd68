"""The constructors behave like those of keras.applications, and differ where the README says so."""

import inspect

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet import CIFARPlainNet, CIFARResNet, PlainNet18, ResNet18, ResNet34, ResNet50
from keras_resnet.weights import loading


def test_resnet50_arguments_equal_those_of_keras_applications():
    ours = inspect.signature(ResNet50).parameters
    theirs = inspect.signature(keras.applications.ResNet50).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        if name not in ("weights", "classes"):
            assert ours[name].default == parameter.default
    assert ours["weights"].default is ours["classes"].default is None  # the number of classes of the weights, or 1000
    assert list(ours)[len(theirs) :] == ["version", "shortcut", "include_preprocessing"]


def test_resnet50_defaults():
    model = ResNet50()
    assert model.name == "resnet50"
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 1000)
    assert model.layers[-1].activation.__name__ == "softmax"


@pytest.mark.slow
@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_resnet18_without_top_returns_features(pooling):
    model = ResNet18(include_top=False, pooling=pooling)
    assert model.output_shape == ((None, None, None, 512) if pooling is None else (None, 512))


@pytest.mark.slow
def test_classifier_activation_none_returns_logits():
    images = np.random.RandomState(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    model = ResNet18(input_shape=(32, 32, 3), classes=7, classifier_activation=None)
    scores = keras.Model(model.input, keras.ops.softmax(model.output)).predict(images, verbose=0)
    np.testing.assert_allclose(scores.sum(-1), 1, rtol=1e-5)
    assert model.layers[-1].name == "logits"


@pytest.mark.slow
def test_input_tensor_is_preprocessed_as_images():
    """Preprocessing applies to the values of the tensor."""
    inputs = keras.Input((32, 32, 4))
    tensor = keras.layers.Conv2D(3, 1, use_bias=False, kernel_initializer="ones", name="mix")(inputs)
    model = ResNet18(include_top=False, input_tensor=tensor)
    assert model.input_shape == (None, 32, 32, 4)
    reference = ResNet18(include_top=False, input_shape=(32, 32, 3))
    reference.set_weights(model.get_weights()[1:])
    images = np.random.RandomState(0).uniform(0, 60, (1, 32, 32, 4)).astype(np.float32)
    mixed = np.repeat(images.sum(-1, keepdims=True), 3, -1)
    np.testing.assert_allclose(model.predict(images, verbose=0), reference.predict(mixed, verbose=0), atol=1e-4)


def test_include_preprocessing_false_omits_the_layer():
    names = [layer.name for layer in ResNet18(include_preprocessing=False, input_shape=(32, 32, 3)).layers]
    assert "preprocessing" not in names


@pytest.mark.slow
def test_version_and_shortcut_arguments_select_the_layers():
    model = ResNet50(version="2", shortcut="A", input_shape=(32, 32, 3))
    names = {layer.name for layer in model.layers}
    assert "last_bn" in names
    assert not [name for name in names if name.endswith("_proj")]


def test_cifar_constructors_output_shapes_and_depths():
    assert CIFARResNet(20).output_shape == (None, 10)
    assert CIFARPlainNet(32, classes=5).output_shape == (None, 5)
    with pytest.raises(ValueError, match="depth must be one of 8, 20, 32, 44, 56, 110, 1202, got 21"):
        CIFARResNet(21)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "imagenet"}, "keras.applications has weights of resnet50, .*, not of resnet34"),
        ({"weights": "resnet34.safetensors"}, "is neither a file nor a name of published weights"),
        ({"pooling": "mean"}, 'pooling must be None, "avg" or "max"'),
        ({"version": "v2"}, "version must be one of"),
        ({"shortcut": "identity"}, "shortcut must be one of"),
        ({"input_tensor": np.zeros((1, 64, 64, 3))}, "input_tensor must be a Keras tensor, .*, got a ndarray$"),
        ({"input_shape": 64}, r"input_shape must be \(H, W, C\), where H and W may be None, got 64$"),
        ({"input_shape": (64, 64)}, r"input_shape must be .*, got \(64, 64\)$"),
        ({"input_shape": (0, 0, 3)}, r"input_shape must be .*, got \(0, 0, 3\)$"),
        ({"input_shape": (64.0, 64, 3)}, "input_shape must be"),
        ({"input_shape": (64, 64, None)}, "input_shape must be"),
        ({"version": 3}, "version must be one of .*, got 3$"),
        (
            {"weights": "resnet34"},
            "'resnet34' is neither .*; it is a network, with weights such as .*/resnet34",
        ),
        ({"weights": "plain34"}, "'plain34' is neither .*; it is a network, without published weights$"),
    ],
)
def test_constructor_names_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet34(**arguments)


def test_constructor_refuses_weights_of_another_network_before_the_download(monkeypatch):
    monkeypatch.setattr(loading, "fetch", lambda entry: pytest.fail(f"downloads {entry.name}"))
    with pytest.raises(ValueError, match=r"has weights of resnet50 \(block='bottleneck'\), not of resnet18"):
        ResNet18(weights="torchvision/resnet50.IMAGENET1K_V2")


def test_input_shape_with_channels_first_warns():
    with pytest.warns(UserWarning, match=r"read as \(H, W, C\), images of height 3 with 64 channels"):
        CIFARResNet(8, input_shape=(3, 64, 64))


def test_version_as_a_number():
    model = CIFARResNet(8, version=2)
    assert model.description.spec.version == "2"


@pytest.mark.parametrize("function", [keras_resnet.build, keras_resnet.variant])
def test_name_in_place_of_a_spec_is_refused(function):
    with pytest.raises(ValueError, match=r"^spec must be a Spec, such as SPECS\[\"resnet50\"\], got 'resnet18'$"):
        function("resnet18")


def test_hdf5_file_of_keras_loads(tmp_path):
    """Its format names classes without their package."""
    model = CIFARResNet(8)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    assert loaded.description == model.description
    images = np.random.RandomState(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(images), model(images))


def test_preprocess_input_is_the_identity():
    images = np.ones((1, 4, 4, 3))
    assert keras_resnet.preprocess_input(images) is images


def test_decode_predictions_checks_the_shape():
    with pytest.raises(ValueError, match="1000"):
        keras_resnet.decode_predictions(np.zeros((1, 10)))


@pytest.mark.slow
def test_constructor_loads_weights_from_a_file(tmp_path):
    model = PlainNet18(input_shape=(32, 32, 3), classes=3)
    path = str(tmp_path / "plain.safetensors")
    keras_resnet.save_weights(model, path)
    loaded = PlainNet18(input_shape=(32, 32, 3), classes=3, weights=path)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    reset_head = PlainNet18(input_shape=(32, 32, 3), classes=4, weights=path)
    kernels = [each.get_layer("stage4_block2_conv2").get_weights()[0] for each in (model, reset_head)]
    np.testing.assert_array_equal(*kernels)
    with pytest.raises(ValueError, match=r"has weights of plain18 \(skip='none'\), not of resnet18"):
        ResNet18(weights=path)


@pytest.mark.sampled("one")
@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_compile_and_fit_as_keras_models(strategy, strategies):
    """Models are ordinary Keras models, also with this package's optimizer and under a strategy."""
    import contextlib

    import tensorflow as tf

    from keras_resnet.sgd import SGD

    scope = contextlib.nullcontext() if strategy == "one" else strategies[2].scope()
    images = np.random.RandomState(0).uniform(0, 255, (32, 8, 8, 3)).astype(np.float32)
    labels = np.arange(32) % 2
    with scope:
        model = CIFARResNet(8, input_shape=(8, 8, 3), classes=2)
        model.compile(SGD(0.05, weight_decay=1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    losses = model.fit(data, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert int(model.optimizer.iterations.numpy()) == 12


@pytest.mark.slow
def test_keras_file_loads_after_importing_keras_resnet(tmp_path, cli):
    model = CIFARResNet(20, shortcut="A")
    path = tmp_path / "model.keras"
    model.save(path)
    images = np.zeros((1, 32, 32, 3), np.float32)
    code = f"import keras_resnet, keras, numpy as np; m = keras.models.load_model({str(path)!r}); " + (
        "print(m.predict(np.zeros((1, 32, 32, 3), 'float32'), verbose=0).tolist())"
    )
    process = cli("-c", code)
    assert process.returncode == 0, process.stderr
    import ast

    np.testing.assert_allclose(
        ast.literal_eval(process.stdout.splitlines()[-1]), model.predict(images, verbose=0), rtol=1e-5
    )


def test_public_names_load():
    for name in keras_resnet.__all__:
        assert getattr(keras_resnet, name) is not None
    assert set(keras_resnet.__all__) <= set(dir(keras_resnet))
    with pytest.raises(AttributeError, match="has no attribute 'ResNet51'") as raised:
        _ = keras_resnet.ResNet51
    # From these, tracebacks suggest a similar name.
    assert (raised.value.name, raised.value.obj) == ("ResNet51", keras_resnet)


def test_completion_shows_public_names_only():
    assert [name for name in dir(keras_resnet) if not name.startswith("__")] == sorted(keras_resnet.__all__)
