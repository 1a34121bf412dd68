"""Provides what only the literal Highway network of 19 layers has (Srivastava et al. 2015): `Spec.block` "single".

Its stages begin with max pooling and a 3x3 convolution instead of a strided block, and a 1x1 convolution precedes the
classifier. `blocks.block` computes its gated layers, which have one 3x3 convolution.
"""

from keras import layers

from keras_resnet.blocks import activate, block, conv, norm

LAST_WIDTH = 100  # filters of the last 1x1 convolution


def features(x, spec, dropout):
    """the stem's output (N, H, W, C) -> ({"stage1": ..., ...}, the head's input (N, H/4, W/4, 100)).

    Args:
        x: (N, H, W, C).
        spec: a `Spec` with block "single".
        dropout: dropout rate in every transition.
    """
    stages: dict = {}
    for i, (width, depth) in enumerate(zip(spec.widths, spec.depths, strict=True), 1):
        if i > 1:
            x = transition(x, spec, width, f"stage{i}", dropout)
        for j in range(1, depth + 1):
            x = block(x, spec, width, 1, f"stage{i}_block{j}", i, j)
        stages[f"stage{i}"] = x
    return stages, last(x, spec)


def transition(x, spec, width, name, dropout):
    """x (N, H, W, C) -> (N, H/2, W/2, width), the first layers of a stage."""
    x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return activate(conv(x, spec, 3, width, 1, f"{name}_conv"), spec, f"{name}_{spec.layer.activation}")


def last(x, spec):
    """x (N, H, W, C) -> (N, H, W, 100), the layers between the last stage and the head."""
    activation, name = spec.layer.activation, "last"
    if spec.preactivation:
        x, name = activate(norm(x, spec, "last_bn"), spec, f"last_{activation}"), "last_conv"
    return activate(conv(x, spec, 1, LAST_WIDTH, 1, "last_conv"), spec, f"{name}_{activation}")
