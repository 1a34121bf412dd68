"""Torchvision's tensors under our names: an independent check needs its weights in our networks."""

import re

import numpy as np


def ours(name: str, value: np.ndarray, blocks_convs: int) -> tuple[str, np.ndarray] | None:
    """(torchvision's name, tensor) -> (our variable path, array); None for counters.

    `blocks_convs` is 2 for basic blocks, 3 for bottlenecks.
    """
    layer, _, kind = name.rpartition(".")
    if kind == "num_batches_tracked":
        return None
    if layer == "conv1":
        layer = "stem_conv"
    elif layer == "bn1":
        layer = "stem_bn"
    elif layer == "fc":
        layer = "logits"
    else:
        stage, block, part = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", layer).groups()
        part = {"downsample.0": "proj", "downsample.1": "proj_bn"}.get(part, part)
        layer = f"stage{stage}_block{int(block) + 1}_{part}"
    if value.ndim == 4:
        return f"{layer}/kernel", value.transpose(2, 3, 1, 0)
    if value.ndim == 2:
        return f"{layer}/kernel", value.T
    normalization = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return (f"{layer}/bias" if layer == "logits" else f"{layer}/{normalization[kind]}"), value
