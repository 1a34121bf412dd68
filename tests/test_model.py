"""Every Keras operation on a model keeps its description."""

import copy
import pickle
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnet
from keras_resnet.builder import build_described
from keras_resnet.description import check_units, different_classes
from keras_resnet.model import ResNetModel

LABELS = ("cat", "dog", "ü")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = keras_resnet.build(
        keras_resnet.SPECS["cifar_resnet20"], classes=3, input_shape=(12, 12, 1), mean=(30.0,), std=(40.0,)
    )
    preprocessing = replace(model.description.preprocessing, crop_pct=0.75, interpolation="bicubic")
    model.description = replace(model.description, preprocessing=preprocessing, labels=LABELS, source="a test")
    model.get_layer("stem_bn").frozen_statistics = True
    return model


def through_keras_file(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


COPIES = {
    "keras file": through_keras_file,
    "keras file twice": lambda model, folder: through_keras_file(through_keras_file(model, folder), folder),
    "clone_model": lambda model, folder: keras.models.clone_model(model),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "from_config": lambda model, folder: ResNetModel.from_config(model.get_config()),
}


@pytest.mark.sampled("keras file")
@pytest.mark.parametrize("kind", COPIES)
def test_model_copies_keep_description_and_frozen_statistics(model, tmp_path, kind):
    twin = COPIES[kind](model, tmp_path)
    assert twin.description == model.description
    assert [layer.frozen_statistics for layer in twin.layers if hasattr(layer, "frozen_statistics")] == [
        True,
        *[False] * 18,
    ]
    images = np.random.RandomState(0).uniform(0, 255, (4, 12, 12, 1)).astype(np.float32)
    if kind in ("clone_model", "from_config"):  # new weights
        twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(images), model(images))
    # Training changes the moving statistics of all but the frozen normalization.
    twin(images, training=True)
    moved = {
        layer.name: not np.array_equal(layer.moving_mean, model.get_layer(layer.name).moving_mean)
        for layer in twin.layers
        if hasattr(layer, "moving_mean")
    }
    assert [name for name, changed in moved.items() if not changed] == ["stem_bn"]


@pytest.mark.slow
def test_save_weights_of_a_loaded_keras_file_keeps_description(tmp_path):
    model = keras_resnet.ResNet18(input_shape=(32, 32, 3), classes=3)
    preprocessing = replace(model.description.preprocessing, mean=(1.0, 2.0, 3.0), std=(10.0, 20.0, 30.0))
    wanted = replace(model.description, preprocessing=preprocessing, labels=LABELS, source="a test")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.description = wanted
    keras_resnet.save_weights(loaded, tmp_path / "timm.safetensors", to="timm")
    keras_resnet.save_weights(loaded, tmp_path / "native.safetensors")
    for name in ("timm", "native"):
        again = keras_resnet.from_weights(str(tmp_path / f"{name}.safetensors")).description
        assert (again.preprocessing, again.labels, again.source) == (preprocessing, LABELS, "a test")


def test_save_weights_refuses_a_model_of_other_code(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="mine")
    with pytest.raises(ValueError, match=r'^to="timm": mine is no model that keras_resnet built'):
        keras_resnet.save_weights(model, tmp_path / "x.safetensors", to="timm")
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.slow
def test_keras_export_keeps_the_description(model, tmp_path):
    from keras_resnet.inference.artifacts import read_preprocessing

    model.export(str(tmp_path / "saved"), verbose=False)
    assert tf.io.gfile.exists(str(tmp_path / "saved" / "saved_model.pb"))
    assert read_preprocessing(str(tmp_path / "saved")) == (model.description.preprocessing, 12)


@pytest.mark.slow
def test_load_model_without_keras_resnet_names_the_import(model, tmp_path, cli):
    model.save(tmp_path / "model.keras")
    load = "keras.saving.load_model(sys.argv[1])"
    process = cli("-c", f"import sys, keras; {load}", tmp_path / "model.keras", fresh=True)
    assert process.returncode == 1
    assert "to load this model: import keras_resnet" in process.stderr[-200:]
    code = f"import sys, keras, keras_resnet; print({load}.description.labels)"
    process = cli("-c", code, tmp_path / "model.keras", fresh=True)
    assert process.stdout.strip() == str(LABELS), process.stderr


def test_description_of_a_network_without_preprocessing():
    model = keras_resnet.build(
        keras_resnet.SPECS["cifar_resnet20"], input_shape=(8, 8, 3), mean=(9, 9, 9), include_preprocessing=False
    )
    assert not model.description.arguments["include_preprocessing"]
    images = np.random.RandomState(0).normal(0, 1, (1, 8, 8, 3)).astype(np.float32)
    first = keras.Model(model.input, model.get_layer("no_preprocessing").output)
    np.testing.assert_array_equal(first(images), images)


def test_build_described_gives_the_same_description(model):
    twin = build_described(model.description)
    assert twin.input_shape == (None, 12, 12, 1)
    assert twin.description == model.description
    assert build_described(model.description, image_size=0).input_shape == (None, None, None, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"mean": (0.485, 0.456, 0.406)},
            '"0.485, 0.456, 0.406" for images in [0, 1] is "123.675, 116.28, 103.53" here',
        ),
        ({"mean": 5}, "mean: got 5, expected a number per channel"),
        ({"std": "a,b"}, "std: got 'a,b', expected a number per channel"),
        ({"std": (0.229, 0.224, 0.225)}, '"0.229, 0.224, 0.225" for images in [0, 1] is "58.395, 57.12, 57.375" here'),
        ({"mean": (0.5,) * 3}, 'is "127.5, 127.5, 127.5" here'),
        ({"mean": (-3.0, 1.0, 2.0)}, "mean: got -3, 1, 2, but images are in [0, 255]: expected numbers from 0 to 255"),
        ({"mean": (300.0,) * 3}, "expected numbers from 0 to 255"),
        ({"std": (600.0,) * 3}, "expected numbers from 1 to 255"),
    ],
)
def test_build_refuses_mean_and_std_in_other_units(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        keras_resnet.build(keras_resnet.SPECS["cifar_resnet20"], **values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 255.0), (103.9, 1.0), (127.5, 127.5)])
def test_check_units_accepts_units_of_published_weights(mean, std):
    check_units((mean,) * 3, (std,) * 3)
    check_units(np.full(3, mean), None)


def test_different_classes_shows_the_first_difference():
    assert different_classes(("café",), ("cafe\u0301",)) == ""
    assert different_classes(("a", "b"), ("a", "c")) == '"a", "b" (2), not "a", "c" (2)'
    many, other = (tuple(f"{i:03d}" for i in range(1000) if i != missing) for missing in (500, 999))
    assert different_classes(many, other) == (
        '... "499", "501", "502", "503", ... (999), not ... "499", "500", "501", "502", ... (999)'
    )


@pytest.mark.slow
def test_keras_onnx_export_has_one_input(model, tmp_path):
    """Keras makes inputs of tensors that a graph captures, such as the mean of its own preprocessing layer."""
    onnxruntime = pytest.importorskip("onnxruntime")
    images = np.random.RandomState(0).uniform(0, 255, (3, 12, 12, 1)).astype(np.float32)
    expected = model.predict(images, verbose=0)
    path = str(tmp_path / "model.onnx")
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    assert [each.name for each in session.get_inputs()] == ["images"]
    np.testing.assert_allclose(session.run(None, {"images": images})[0], expected, rtol=1e-4, atol=1e-5)
