"""Provides the building blocks of a network. Each takes a tensor (N, H, W, C) and returns one.

The docstrings write shapes as channels-last. With Keras's image data format "channels_first" they are (N, C, H, W).
"""

import keras
from keras import initializers, layers

from keras_resnet.layers import BatchNormalization, ChannelsFirstConv2D, HighwayGate, Pad


def channel_axis() -> int:
    """Returns the channel axis of a batch of images."""
    return 1 if keras.config.image_data_format() == "channels_first" else 3


def conv2d(*args, **kwargs):
    """Creates a `keras.layers.Conv2D` for Keras's image data format that runs on every processor."""
    return (ChannelsFirstConv2D if channel_axis() == 1 else layers.Conv2D)(*args, **kwargs)


def initializer(spec):
    """Returns the kernel initializer: He, variance 2 / fan-out, or Xavier, variance 2 / (fan-in + fan-out).

    Values are uniform, because drawing from a Gaussian takes twice the time.
    """
    if spec.layer.initialization == "xavier":
        return initializers.VarianceScaling(1.0, "fan_avg", "uniform")
    variance = {"he": 2.0, "small": 2.0 / 4, "large": 2.0 * 4}[spec.layer.initialization]
    return initializers.VarianceScaling(variance, "fan_out", "uniform")


def conv(x, spec, kernel, filters, stride, name, normalized=True, groups=1):
    """Applies a k x k convolution with k // 2 zeros on every side; it has a bias only if no normalization follows.

    Keras's "same" pads only right and bottom at stride 2, unlike Caffe and Torch.
    """
    if kernel == 1 and stride > 1 and x.shape[channel_axis()] < 16:
        # oneDNN's gradient of a strided 1x1 kernel is silently wrong for fewer than 16 channels, by a factor of 1000 on
        # AVX2 with TF_ENABLE_ONEDNN_OPTS=1 (uxlfoundation/oneDNN#6035).
        x, stride = subsample(x, stride, f"{name}_subsample"), 1
    explicit = stride > 1 and kernel > 1 and spec.implementation.padding == "symmetric"
    if explicit:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    use_bias = not normalized and spec.implementation.conv_bias == "unnormalized"
    use_bias |= spec.layer.normalization == "none"
    return conv2d(
        filters,
        kernel,
        strides=stride,
        padding="valid" if explicit else "same",
        use_bias=use_bias,
        groups=groups,
        kernel_initializer=initializer(spec),
        name=name,
    )(x)


def norm(x, spec, name, zero_init_gamma=False):
    """Applies batch normalization, if any."""
    return x if spec.layer.normalization == "none" else batch_norm(name, zero_init_gamma)(x)


def batch_norm(name, zero_init_gamma=False):
    """Creates batch normalization with epsilon and momentum of the authors' and Torch's networks."""
    scale = "zeros" if zero_init_gamma else "ones"
    return BatchNormalization(axis=channel_axis(), momentum=0.9, epsilon=1e-5, gamma_initializer=scale, name=name)


def activate(x, spec, name):
    """Applies the non-linearity `spec.layer.activation`: ReLU or sigmoid."""
    return layers.Activation(spec.layer.activation, name=name)(x)


def pad(x, axes, name, mode="constant"):
    """Pads `axes`, {axis: (before, after)}."""
    return Pad([axes.get(axis, (0, 0)) for axis in range(4)], mode, name=name)(x)


def subsample(x, stride, name):
    """Keeps every `stride`-th pixel in height and width."""
    return layers.MaxPooling2D(1, strides=stride, name=name)(x) if stride > 1 else x


def plan(spec, width, stride):
    """Returns the convolutions of one block, in order, as (kernel, filters, stride, groups)."""
    if spec.block == "single":
        return [(3, width, stride, 1)]
    if spec.block == "basic":
        return [(3, width, stride, 1), (3, width, 1, 1)]
    stride_1x1, stride_3x3 = (stride, 1) if spec.implementation.stride_in == "1x1" else (1, stride)
    inner = width * spec.width_per_group // 64 * spec.groups
    return [(1, inner, stride_1x1, 1), (3, inner, stride_3x3, spec.groups), (1, 4 * width, 1, 1)]


def branch(x, spec, convs, name, zero_init_last_gamma=False):
    """Computes F(x, {W_i}), the residual function: convolutions with their normalizations and activations.

    With post-activation, F ends with a normalization, because its activation follows the addition. With
    pre-activation, F ends with a convolution. In a Highway layer (Srivastava et al. 2015), F ends with its activation.
    """
    for i, (kernel, filters, stride, groups) in enumerate(convs, 1):
        last = i == len(convs)
        normalized = not spec.preactivation or not last
        x = conv(x, spec, kernel, filters, stride, f"{name}_conv{i}", normalized, groups)
        if normalized:
            x = norm(x, spec, f"{name}_bn{i}", last and zero_init_last_gamma)
        if not last or spec.block == "single":
            x = activate(x, spec, f"{name}_{spec.layer.activation}{i}")
    return squeeze_excite(x, spec, name) if spec.se_reduction else x


def squeeze_excite(x, spec, name):
    """Multiplies each channel of x by a factor in (0, 1), a function of all channels' averages (Hu et al. 2017).

    The hidden layer has channels / spec.se_reduction features, at least 8 as in timm's networks.
    """
    channels = x.shape[channel_axis()]
    factors = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_pool")(x)
    factors = conv2d(max(channels // spec.se_reduction, 8), 1, activation="relu", name=f"{name}_se_reduce")(factors)
    factors = conv2d(channels, 1, activation="sigmoid", name=f"{name}_se_expand")(factors)
    return layers.Multiply(name=f"{name}_se")([x, factors])


def shortcut(x, activated, filters, stride, spec, name, opens_stage=False):
    """Computes W_s x of the block equation, as selected by `spec.shortcut`.

    A: every `stride`-th pixel of x and zeros for the new channels; no parameters.
    B: 1x1 convolution of `activated` where the shape changes, else x.
    C: 1x1 convolution of `activated` in every block.

    `opens_stage` is True for a stage's first block, which has a projection if `first_projection` is "always".
    """
    new = filters - x.shape[channel_axis()]
    keeps_shape = new == 0 and (stride == 1 or spec.implementation.stride_at == "last")
    keeps_shape &= not (opens_stage and spec.implementation.first_projection == "always")
    if spec.shortcut == "A" or (keeps_shape and spec.shortcut == "B"):
        x = subsample(x, stride, f"{name}_subsample")
        before = new // 2 if spec.implementation.zero_padding_position == "both" else 0
        return pad(x, {channel_axis(): (before, new - before)}, f"{name}_zeros") if new else x
    if spec.avg_down and stride > 1:
        activated = layers.AveragePooling2D(2, strides=stride, padding="same", name=f"{name}_proj_pool")(activated)
        stride = 1
    x = conv(activated, spec, 1, filters, stride, f"{name}_proj", not spec.preactivation)
    return norm(x, spec, f"{name}_proj_bn") if not spec.preactivation else x


def gate(x, filters, stride, name):
    """Computes T(x) of a Highway layer, in (0, 1). It is 0.12 initially, so that a new block mostly carries x."""
    x = layers.ZeroPadding2D(1, name=f"{name}_gate_pad")(x)
    bias = initializers.Constant(-2.0)
    layer = conv2d(filters, 3, strides=stride, activation="sigmoid", bias_initializer=bias, name=f"{name}_gate")
    return layer(x)


def drop(x, rate, name):
    """Sets x of a whole image to zero with probability `rate` in training, and divides other x by 1 - rate."""
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x) if rate else x


def block(x, spec, width, stride, name, stage=0, number=0, drop_rate=0.0, zero_init_last_gamma=False):
    """Computes y = F(x, {W_i}) + W_s x (He et al. 2015, equation 2), its pre-activated or gated form, or F alone.

    Args:
        x: (N, H, W, C).
        spec: the `Spec` that selects the form.
        width: filters of the 3x3 convolutions.
        stride: 2 halves height and width, 1 keeps them.
        name: prefix of the layers' names, "stage2_block1".
        stage, number: numbers of the stage and of the block in it, from 1. The first block of a pre-activated network
            shares its activation with the shortcut (He et al. 2016, appendix), unless `first_shortcut` is "raw".
        drop_rate: probability of dropping F in training (Huang et al. 2016).
        zero_init_last_gamma: whether F is 0 initially, because its last normalization has a scale of 0 (Goyal et al.
            2017, section 5.1).
    """
    convs = plan(spec, width, stride)
    filters = convs[-1][1]
    activated = x  # input of F and W_s
    if spec.preactivation:
        activated = activate(norm(x, spec, f"{name}_preact_bn"), spec, f"{name}_preact_{spec.layer.activation}")
        x = activated if stage == number == 1 and spec.implementation.first_shortcut == "activated" else x

    y = branch(activated, spec, convs, name, zero_init_last_gamma)
    if spec.skip == "add":
        y = drop(y, drop_rate, name)
        carried = shortcut(x, activated, filters, stride, spec, name, opens_stage=number == 1)
        y = layers.Add(name=f"{name}_add")([carried, y])
    elif spec.skip == "gate":
        carried = shortcut(x, activated, filters, stride, spec, name)
        y = HighwayGate(name=f"{name}_carry")([gate(activated, filters, stride, name), y, carried])
    return y if spec.preactivation or spec.block == "single" else activate(y, spec, f"{name}_{spec.layer.activation}")
