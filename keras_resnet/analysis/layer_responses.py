"""Layer responses, the paper's figure 7: how strong the residual functions are."""

import contextlib

import keras
import numpy as np

from keras_resnet.analysis.intermediate_outputs import batches, doubles, response_tensors, table, unchanged


def layer_responses(
    model: keras.Model, images, *, kernel: int | None = 3, batch_size: int = 64, training: bool = False
) -> np.ndarray:
    """images (N, H, W, C) -> structured array (L,), the deviation of each 3x3 layer's response.

    A response is a layer's output after batch normalization and before the non-linearity or addition (He et al. 2015,
    figure 7), before either where the network has no normalization.

        by_size = np.sort(keras_resnet.layer_responses(model, images)["std"])[::-1]

    Args:
        model: any functional model; of this family, of keras.applications, with loaded weights or fresh.
        images: as the model takes them.
        kernel: side of the convolutions that count. The stem of the ImageNet networks has 7; None: all, projections
            too.
        batch_size: images at a time. It does not change the result unless `training`.
        training: normalize by each batch rather than by the moving averages, which stay as they are.

    Returns:
        Fields "layer" (the convolution's name), "mean" and "std", over all images, positions and channels together,
        in the graph's order.

    Raises:
        ValueError: there is no such layer, or no image.
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
