"""Provides handwritten digits: 1,797 gray images of 8x8 pixels that ship with scikit-learn, without a download.

Source: E. Alpaydin, C. Kaynak (1998), "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, test part.
"""

import numpy as np

from keras_resnet.config import Data
from keras_resnet.data.arrays import split_of_arrays
from keras_resnet.data.image_set import ImageSet

TRAIN, VALIDATION = 0.7, 0.1  # shares of each class; the rest is the test split


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """labels (N,) -> indices of each split, a fixed 70/10/20 split of every class.

    Uses NumPy's frozen `RandomState`, whose numbers never change between versions.
    """
    random = np.random.RandomState(0)
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in np.unique(labels):
        indices = random.permutation(np.flatnonzero(labels == label))
        cuts = [round(len(indices) * TRAIN), round(len(indices) * (TRAIN + VALIDATION))]
        for part, chosen in zip(parts.values(), np.split(indices, cuts), strict=True):
            part.append(chosen)
    return {name: np.sort(np.concatenate(chosen)) for name, chosen in parts.items()}


def load_digits(data: Data) -> ImageSet:
    """Returns the digits as images (8, 8, 1) uint8 in [0, 255]; the original 17 gray levels are spaced evenly."""
    from sklearn.datasets import load_digits as load

    bunch = load()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int32)
    splits = {
        name: split_of_arrays(images[indices], labels[indices], f"digits {name}")
        for name, indices in split_indices(labels).items()
    }
    return ImageSet("digits", tuple(str(digit) for digit in range(10)), (8, 8, 1), splits)
