"""The pieces a network is made of. Each takes a tensor (N, H, W, C) and returns one.

Shapes are written channels last; with Keras's image data format set to channels first they are (N, C, H, W).
"""

import keras
from keras import initializers, layers

from keras_resnet.layers import BatchNormalization, Pad


def channel_axis() -> int:
    """The axis of a batch of images that holds the channels."""
    return 1 if keras.config.image_data_format() == "channels_first" else 3


def conv(x, kernel, filters, stride, name):
    """k x k convolution without bias, He's variance 2 / fan-out, k // 2 zeros on every side.

    Keras's "same" pads only right and bottom at stride 2, which is neither Caffe's nor Torch's alignment.
    """
    explicit = stride > 1 and kernel > 1
    if explicit:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="valid" if explicit else "same",
        use_bias=False,
        kernel_initializer=initializers.VarianceScaling(2.0, "fan_out", "uniform"),
        name=name,
    )(x)


def norm(x, name):
    """Batch normalization; epsilon and the moving averages' momentum as in the authors' and Torch's nets."""
    return BatchNormalization(axis=channel_axis(), momentum=0.9, epsilon=1e-5, name=name)(x)


def pad(x, axes, name, mode="constant"):
    """Pads the axes {axis: (before, after)}."""
    return Pad([axes.get(axis, (0, 0)) for axis in range(4)], mode, name=name)(x)


def relu(x, name):
    """max(x, 0)."""
    return layers.Activation("relu", name=name)(x)


def plan(spec, width, stride):
    """The convolutions of one block, in order, as (kernel, filters, stride)."""
    if spec.block == "basic":
        return [(3, width, stride), (3, width, 1)]
    stride_1x1, stride_3x3 = (stride, 1) if spec.stride_on == "1x1" else (1, stride)
    return [(1, width, stride_1x1), (3, width, stride_3x3), (1, 4 * width, 1)]


def branch(x, convs, order, name):
    """F(x, {W_i}): convolution, normalization, ReLU and so on, without what follows the last weight.

    Post-activation ends with a normalization (its ReLU comes after the addition), pre-activation with a
    convolution.
    """
    for i, (kernel, filters, stride) in enumerate(convs, 1):
        x = conv(x, kernel, filters, stride, f"{name}_conv{i}")
        last = i == len(convs)
        if order == "post" or not last:
            x = norm(x, f"{name}_bn{i}")
        if not last:
            x = relu(x, f"{name}_relu{i}")
    return x


def shortcut(x, activated, filters, stride, spec, name):
    """W_s x of the block equation: x itself where the block keeps its shape, else by `spec.shortcut`.

    A: every `stride`-th pixel, zeros for the new channels, no parameters.
    B: 1x1 convolution of `activated` where the shape changes.
    C: 1x1 convolution of `activated` everywhere.
    """
    channels = x.shape[channel_axis()]
    if stride == 1 and channels == filters and spec.shortcut != "C":
        return x
    if spec.shortcut == "A":
        if stride > 1:
            x = layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsample")(x)
        return x if channels == filters else pad(x, {channel_axis(): (0, filters - channels)}, f"{name}_zeros")
    x = conv(activated, 1, filters, stride, f"{name}_proj")
    return norm(x, f"{name}_proj_bn") if spec.order == "post" else x


def block(x, spec, width, stride, name, first=False):
    """y = F(x, {W_i}) + W_s x (He et al. 2015, equation 2), its pre-activated form, and F alone for plain nets.

    Args:
        x: (N, H, W, C).
        spec: the `Spec` that says which form.
        width: filters of the 3x3 convolutions.
        stride: 2 halves height and width, 1 keeps them.
        name: prefix of the layers' names, "stage2_block1".
        first: the network's first block; pre-activated, it shares its activation with the shortcut
            (He et al. 2016, appendix).
    """
    convs = plan(spec, width, stride)
    activated = x  # what F and W_s read
    if spec.order == "pre":
        activated = relu(norm(x, f"{name}_preact_bn"), f"{name}_preact_relu")
        x = activated if first else x

    y = branch(activated, convs, spec.order, name)
    if spec.merge == "add":
        filters = convs[-1][1]
        y = layers.Add(name=f"{name}_add")([shortcut(x, activated, filters, stride, spec, name), y])
    return y if spec.order == "pre" else relu(y, f"{name}_relu")
