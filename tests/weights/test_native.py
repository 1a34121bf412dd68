import keras
import numpy as np
import pytest

from keras_resnet import CIFARResNet, Spec, build, from_weights
from keras_resnet.weights.native import load_weights, save_weights
from keras_resnet.weights.tensors import read_metadata, read_tensors


@pytest.fixture(scope="module")
def model():
    return CIFARResNet(20, input_shape=(8, 8, 3))


def test_save_and_load_weights_round_trip_is_exact(model, tmp_path):
    path = str(tmp_path / "w.safetensors")
    save_weights(model, path, {"step": "7"})
    assert read_metadata(path)["step"] == "7"
    assert "stage2_block1_conv1/kernel" in read_tensors(path)
    other = CIFARResNet(20, input_shape=(8, 8, 3))
    load_weights(other, path)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_load_weights_of_another_network_changes_nothing(model, tmp_path):
    path = str(tmp_path / "w.safetensors")
    save_weights(model, path)
    other = CIFARResNet(20, input_shape=(8, 8, 3), classes=3)
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"logits/kernel has shape \(64, 10\), the model's is \(64, 3\)"):
        load_weights(other, path)
    for one, two in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def dense():
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.Dense(1, name="d")(inputs))


def test_load_weights_names_missing_and_unknown_tensors(model, tmp_path):
    path = str(tmp_path / "w.safetensors")
    small = dense()
    save_weights(small, path)
    with pytest.raises(ValueError, match=r"no tensor for stem_conv/kernel"):
        load_weights(model, path)
    save_weights(model, path)
    with pytest.raises(ValueError, match="no tensor for d/kernel"):
        load_weights(small, path)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-5], lambda data: data[:20], lambda data: b"", lambda data: b"PK" + data]
)
def test_load_weights_names_damaged_files(model, tmp_path, damage):
    path = tmp_path / "w.safetensors"
    save_weights(model, str(path))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"w\.safetensors: not a complete safetensors file"):
        load_weights(model, str(path))


def test_save_weights_leaves_no_temporary_files(model, tmp_path):
    save_weights(model, str(tmp_path / "w.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.slow
def test_save_weights_refuses_unknown_names(model, tmp_path):
    with pytest.raises(ValueError, match=r"to must be one of \('keras', 'torchvision', 'timm'\), got 'tim'"):
        save_weights(model, tmp_path / "x.safetensors", to="tim")
    assert not list(tmp_path.iterdir())


def test_save_weights_refuses_a_quantized_model(tmp_path):
    model = CIFARResNet(20, input_shape=(8, 8, 3))
    model.quantize("int8")
    path = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match=r'^cifar_resnet20: its layer "logits" is quantized \(int8\); save'):
        save_weights(model, str(path))
    assert not path.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"block": "bottleneck", "depths": (1, 1), "widths": (8, 16), "shortcut": "B"},  # as C: each projects
        {"block": "basic", "depths": (2,), "widths": (8,), "shortcut": "A"},  # as B: none changes the shape
        {"block": "basic", "depths": (1, 1), "widths": (8, 16), "conv_bias": "unnormalized"},  # as none
    ],
)
def test_from_weights_restores_options_invisible_in_tensors(tmp_path, options):
    spec = Spec.of(name="tiny", stem="cifar", **options)
    model = build(spec, classes=3, input_shape=(8, 8, 3))
    path = str(tmp_path / "w.safetensors")
    save_weights(model, path)
    loaded = from_weights(path, classifier_activation=None)
    assert loaded.description.spec == spec
    images = np.random.RandomState(0).randint(0, 256, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5, atol=1e-6)
