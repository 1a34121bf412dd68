import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits

from keras_resnet.config import Data
from keras_resnet.data.embedded import split_indices
from keras_resnet.data.sources import load_image_set
from keras_resnet.errors import ConfigError


def test_digits_splits_are_disjoint_stratified_and_fixed():
    labels = sklearn_digits().target
    splits = split_indices(labels)
    assert {name: len(indices) for name, indices in splits.items()} == {"train": 1258, "validation": 180, "test": 359}
    together = np.concatenate(list(splits.values()))
    assert sorted(together) == list(range(1797))
    for name, part in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        shares = np.bincount(labels[splits[name]]) / np.bincount(labels)
        np.testing.assert_allclose(shares, part, atol=0.01)
    # The exact split: every published number depends on it.
    digest = hashlib.sha256(splits["test"].astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "ce461253158e62a8"


def test_digits_images_equal_sklearn():
    images = load_image_set(Data(name="digits"))
    image, label = images.split("test").read(0)
    index = split_indices(sklearn_digits().target)["test"][0]
    np.testing.assert_array_equal(image.numpy()[..., 0], np.rint(sklearn_digits().images[index] * 255 / 16))
    assert int(label) == sklearn_digits().target[index]
    assert image.shape == images.image_shape == (8, 8, 1)
    assert images.labels == tuple("0123456789")


def test_digits_unknown_split_suggests_name():
    with pytest.raises(ConfigError, match='unknown split "tests" of digits; did you mean "test"'):
        load_image_set(Data(name="digits")).split("tests")
