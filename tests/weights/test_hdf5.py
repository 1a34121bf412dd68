"""Keras's HDF5 layouts: every array has a unique name."""

import h5py
import keras
import numpy as np
import pytest

from keras_resnet.weights.reading import read_hdf5


def network(nested):
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(2, 1, name="one")(inputs)
    inner = keras.Model(inputs, keras.layers.Conv2D(3, 1, name="two")(x), name="inner")
    return keras.Model(inputs, keras.layers.Identity()(inner(inputs))) if nested else inner


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_read_hdf5_of_a_nested_model_separates_layers(nested, ending, tmp_path):
    model, path = network(nested), tmp_path / f"model{ending}"
    (model.save_weights if "weights" in ending else model.save)(path)
    arrays = read_hdf5(str(path))
    assert {name: value.shape for name, value in arrays.items()} == {
        "one/kernel": (1, 1, 3, 2),
        "one/bias": (2,),
        "two/kernel": (1, 1, 2, 3),
        "two/bias": (3,),
    }


def test_read_hdf5_of_an_array_at_the_root(tmp_path):
    with h5py.File(tmp_path / "root.h5", "w") as file:
        file["kernel:0"] = np.ones(2, np.float32)
    assert list(read_hdf5(str(tmp_path / "root.h5"))) == ["kernel"]


def test_read_hdf5_refuses_two_arrays_with_one_name(tmp_path):
    path = tmp_path / "twice.h5"
    with h5py.File(path, "w") as file:
        file["a/conv/kernel:0"] = np.ones(2, np.float32)
        file["b/conv/kernel:0"] = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=r"twice\.h5: holds two arrays for conv/kernel"):
        read_hdf5(str(path))
