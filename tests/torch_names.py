"""Torchvision's and timm's tensors under our names: an independent check needs their weights in our networks."""

import re

import numpy as np

NORMALIZATION = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
WHOLE = {"conv1": "stem_conv", "bn1": "stem_bn", "fc": "logits"}  # torchvision
WHOLE |= {
    f"conv1.{i}": name
    for i, name in {0: "stem_conv1", 1: "stem_bn1", 3: "stem_conv2", 4: "stem_bn2", 6: "stem_conv3"}.items()
}
WHOLE |= {"stem.conv": "stem_conv", "norm": "last_bn", "head.fc": "logits"}  # timm's pre-activated networks
PARTS = {"downsample.0": "proj", "downsample.1": "proj_bn", "downsample.2": "proj_bn", "downsample.conv": "proj"}
PARTS |= {"se.fc1": "se_reduce", "se.fc2": "se_expand"}
PRE_ACTIVATED = {"norm1": "preact_bn", "norm2": "bn1", "norm3": "bn2"}


def ours(name: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
    """(their name, tensor) -> (our variable path, array); None for counters."""
    layer, _, kind = name.rpartition(".")
    if kind == "num_batches_tracked":
        return None
    layer = WHOLE.get(layer) or _in_block(layer)
    if layer.endswith("proj_bn") and value.ndim == 4:  # behind an average pool, the convolution is number 1
        layer = layer.removesuffix("_bn")
    if "_se_" in layer and value.ndim == 1:
        return f"{layer}/bias", value
    if layer == "logits":
        return (f"{layer}/kernel", value.reshape(value.shape[:2]).T) if value.ndim > 1 else (f"{layer}/bias", value)
    if value.ndim == 4:
        return f"{layer}/kernel", value.transpose(2, 3, 1, 0)
    return f"{layer}/{NORMALIZATION[kind]}", value


def _in_block(layer):
    """ "layer1.0.conv2" or "stages.0.blocks.0.conv2" -> "stage1_block1_conv2"."""
    prefix, stage, block, part = re.fullmatch(r"(layer|stages\.)(\d)\.(?:blocks\.)?(\d+)\.(.+)", layer).groups()
    first = 0 if prefix == "layer" else 1
    return f"stage{int(stage) + first}_block{int(block) + 1}_{PARTS.get(part) or PRE_ACTIVATED.get(part, part)}"
