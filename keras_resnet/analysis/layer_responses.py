"""Measures layer responses, the strength of the residual functions (figure 7 of the paper)."""

import contextlib

import keras
import numpy as np

from keras_resnet.analysis.intermediate_outputs import batches, doubles, response_tensors, table, unchanged


def layer_responses(
    model: keras.Model, images, *, kernel: int | None = 3, batch_size: int = 64, training: bool = False
) -> np.ndarray:
    """images (N, H, W, C) -> structured array (L,), mean and standard deviation of each 3x3 layer's response.

    A response is a layer's output after batch normalization, if any, and before the non-linearity or addition (He et
    al. 2015, figure 7).

        by_size = np.sort(keras_resnet.layer_responses(model, images)["std"])[::-1]

    Args:
        model: any functional model, from this package or keras.applications, with loaded or initial weights.
        images: model inputs.
        kernel: kernel size of the measured convolutions; 7 for the stem of the ImageNet networks. None: all,
            projections too.
        batch_size: images per batch. It does not change the result unless `training` is True.
        training: normalize with each batch instead of the moving statistics, which do not change.

    Returns:
        Fields "layer" (the convolution's name), "mean" and "std" over all images, positions and channels together.
        Rows are in the graph's order.

    Raises:
        ValueError: the model has no such layer, or `images` is empty.
    """
    tensors = response_tensors(model, kernel)
    counts, means, squares = (np.zeros(len(tensors)) for _ in range(3))
    with unchanged(model) if training else contextlib.nullcontext():
        for values in batches(model, tensors.values(), images, batch_size, training):
            for i, value in enumerate(map(doubles, values)):  # Chan et al. 1983: sums of squares about the mean
                total = counts[i] + value.size
                shift = value.mean() - means[i]
                squares[i] += value.var() * value.size + shift**2 * counts[i] * value.size / total
                means[i] += shift * value.size / total
                counts[i] = total
    return table(layer=list(tensors), mean=means, std=np.sqrt(squares / counts))
