"""Provides the papers' evaluation protocols: the views of an image, and how their scores are averaged."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.builder import build_described
from keras_resnet.data import pipeline, transforms
from keras_resnet.data.decode import decode
from keras_resnet.data.pipeline import evaluation_outputs, over_replicas, unreadable
from keras_resnet.description import height_and_width, size_text
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.weights.native import assign_tensors, named_variables, to_tensors

PAPER_SCALES = (224, 256, 384, 480, 640)  # He et al. 2015, section 3.4, for networks trained at 224
Protocol = Literal["single", "ten_crop", "multi_scale"]


@dataclass(frozen=True)
class Predictions:
    """Predictions of one or several networks for a split.

    Attributes:
        scores: (N, classes) float64, each row sums to 1.
        labels: (N,) int32, the true classes.
        indices: (N,) positions in the split, without those of unreadable images.
    """

    scores: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


def ensemble(members: list[Predictions]) -> Predictions:
    """Averages the scores of several networks on the same images."""
    return replace(members[0], scores=np.mean([member.scores for member in members], 0))


def default_scales(size: int) -> tuple[int, ...]:
    """Returns the paper's five scales, multiplied by size / 224 for networks with another image size."""
    return tuple(round(scale * size / 224) for scale in PAPER_SCALES)


def predict(
    task,
    model,
    strategy,
    split: str,
    protocol: Protocol,
    scales: tuple[int, ...] = (),
    track: Callable = lambda batches, images, batch_size: batches,
) -> Predictions:
    """Evaluates `model` on a split of `task`'s images with a protocol of the paper.

    | protocol | views of an image | averaged |
    |---|---|---|
    | single | resized to cover image_size / crop_pct, center crop | - |
    | ten_crop | the same resizing; four corners and center, and their mirror images | scores |
    | multi_scale | the whole image with its shorter side at each scale, and its mirror image | see `dense_scores` |

    Args:
        task: a `Classification`, which provides the images.
        model: a network that returns logits; its description defines the preprocessing. Under a strategy with several
            replicas, the model must be built in the strategy's scope.
        strategy: the strategy of the devices.
        split: name of the split.
        protocol: name of the protocol.
        scales: scales of multi_scale; default the paper's, see `default_scales`.
        track: (iterable of batches, number of images, batch size) -> the same batches; may show progress.

    Raises:
        ConfigError: multi_scale is for square images, and for scales of their size or more.
        DataError: an image cannot be read.
    """
    preprocessing = model.description.preprocessing
    if protocol == "multi_scale":
        if not isinstance(preprocessing.image_size, int):
            size = size_text(preprocessing.image_size)
            raise ConfigError(f"--protocol=multi_scale: scales are shorter sides, and the network takes {size}")
        scales = scales or default_scales(preprocessing.image_size)
        if min(scales) < preprocessing.image_size:
            least = preprocessing.image_size
            raise ConfigError(f"--scales: {min(scales)} is less than {least}, the size of the network's input")
        views = _at_scales(scales, preprocessing)
        batch_size = strategy.num_replicas_in_sync  # images differ in shape
        with strategy.scope():
            score = dense_scores(model)
    else:
        views = _single(preprocessing) if protocol == "single" else _ten_crops(preprocessing)
        batch_size, score = task.config.eval.batch_size, _mean_scores(model)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(batch):
        (images, labels), weights = batch
        outputs = strategy.run(lambda images: score(images), args=(images,)), labels, weights
        return [over_replicas(strategy, each) for each in outputs]

    return _gathered(task, strategy, split, views, batch_size, step, track)


def _gathered(task, strategy, split, views, batch_size, step, track):
    images = task.images.split(split)

    def batches(shard):
        skips = task.config.data.on_unreadable_image == "skip"
        return pipeline.eval_batches(images, views, batch_size=batch_size, shard=shard, skip_unreadable=skips)

    outputs = evaluation_outputs(
        step,
        strategy,
        batches,
        batch_size=batch_size,
        steps=pipeline.eval_steps(images, batch_size),
        image_errors=lambda number: unreadable(
            images, pipeline.eval_indices(images, batch_size, number), task.image_shape[2]
        ),
    )
    rows = [[value.numpy() for value in each] for each in track(outputs, images.size, batch_size)]
    scores, labels, weights = (np.concatenate(column) for column in zip(*rows, strict=True))
    indices = np.flatnonzero(weights)  # padding and unreadable images have weight 0
    if not len(indices):
        raise DataError(f"{task.config.data.name}: not one image of the {split} split can be read")
    return Predictions(scores[indices].astype(np.float64), labels[indices], indices)


def _single(preprocessing):
    def views(image, label):
        return transforms.prepare(decode(image, preprocessing.channels, preprocessing.exif_orientation), preprocessing)[
            None
        ], label

    return views


def _ten_crops(preprocessing):
    size = preprocessing.image_shape[:2]
    whole = transforms.covered(size, preprocessing.crop_pct)

    def views(image, label):
        pixels = decode(image, preprocessing.channels, preprocessing.exif_orientation)
        return ten_crops(transforms.resize_to_cover(pixels, whole, preprocessing.interpolation), size), label

    return views


def ten_crops(image, size):
    """image (H, W, C) -> (10, h, w, C): corners and center, then their mirror images (Krizhevsky et al. 2012)."""
    h, w = height_and_width(size)
    bottom, right = tf.shape(image)[0] - h, tf.shape(image)[1] - w
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = tf.stack([image[top : top + h, left : left + w] for top, left in corners])
    return tf.ensure_shape(tf.concat([crops, tf.reverse(crops, [2])], 0), (10, h, w, image.shape[-1]))


def _at_scales(scales, preprocessing):
    def views(image, label):
        pixels = decode(image, preprocessing.channels, preprocessing.exif_orientation)
        whole = [transforms.resize_shorter_side(pixels, scale, preprocessing.interpolation) for scale in scales]
        return tuple(tf.stack([each, tf.reverse(each, [1])]) for each in whole), label

    return views


def _mean_scores(model):
    """Returns a function images (N, V, H, W, C) -> mean of the V views' scores (N, classes)."""

    def score(images):
        flat = tf.reshape(images, tf.concat([[-1], tf.shape(images)[2:]], 0))
        scores = tf.nn.softmax(tf.cast(model(flat, training=False), tf.float32))
        return tf.reduce_mean(tf.reshape(scores, [-1, images.shape[1], scores.shape[-1]]), 1)

    return score


def dense_scores(model):
    """Returns a function (images (1, V, H, W, C), ...) of several sizes -> scores (1, classes).

    It computes the fully convolutional form of Sermanet et al. 2014 and Simonyan and Zisserman 2014. Average pooling
    with a window of the size of a training image's feature map precedes the classifier, which runs at every position.
    The logits are averaged over positions, and the scores over mirror images and sizes.
    """
    any_size = build_described(model.description, image_size=0)
    assign_tensors(named_variables(any_size), to_tensors(named_variables(model)), "the model")
    features = keras.Model(any_size.input, any_size.get_layer("pool").input)
    classifier = any_size.get_layer("logits")
    window = model.get_layer("pool").input.shape[1]

    def score(images):
        return tf.reduce_mean(tf.stack([one_size(each[0]) for each in images]), 0)

    def one_size(views):
        views = transforms.at_least(views, model.input.shape[1])
        maps = tf.cast(features(views, training=False), tf.float32)
        windows = tf.nn.avg_pool2d(maps, window, 1, "VALID")
        logits = classifier(tf.reduce_mean(windows, (1, 2)))  # the layer is linear: this is the mean over positions
        return tf.reduce_mean(tf.nn.softmax(logits), 0, keepdims=True)

    return score
