"""Cuts images from the two photographs that ship with scikit-learn, for use without a data set. Loads no TensorFlow."""

from collections.abc import Iterator

import numpy as np


def cut_squares(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields `count` squares (h, h, 3) uint8 of different sizes; a seed always gives the same ones."""
    from sklearn.datasets import load_sample_images

    random, photographs = np.random.RandomState(seed), load_sample_images().images
    for i in range(count):
        photograph = photographs[i % 2]
        side = random.randint(100, min(photograph.shape[:2]))
        top, left = (random.randint(0, size - side) for size in photograph.shape[:2])
        yield photograph[top : top + side, left : left + side]
