"""Evaluates a localizer fully convolutionally: on the whole image, with its shorter side at each of several scales.

| | merged over the scales |
|---|---|
| scores of classes | the mean of the scores, each of the mean logits over all windows of a training image's size |
| boxes of a class | all anchors of all positions and scales compete in pixels of the image; the highest score wins |

Scales are those of the training crops, unless `--scales` names others. There are no mirror images.
"""

from collections.abc import Callable, Iterator

import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.data import pipeline, transforms
from keras_resnet.data.decode import decode
from keras_resnet.data.pipeline import evaluation_outputs, over_replicas
from keras_resnet.errors import ConfigError
from keras_resnet.localization.localizer import Localizer, Located
from keras_resnet.localization.rcnn import best_proposals
from keras_resnet.weights.native import assign_tensors, named_variables, to_tensors


def default_scales(task) -> tuple[int, ...]:
    """Returns the least, mean and greatest shorter side of training images; the evaluation's for other crops."""
    data = task.config.data
    if data.crop != "scale_jitter":
        return (transforms.resized_side(task.description.preprocessing),)
    low, high = data.resize_range
    return tuple(sorted({low, (low + high) // 2, high}))


def dense_outputs(task, model: Localizer, strategy, split: str, scales: tuple[int, ...], track: Callable) -> Iterator:
    """Yields the attributes of `collector.Answers` for the images of each step, one image per replica.

    Args:
        task: a `Localization`, which provides the images.
        model: the localizer.
        strategy: the strategy of the devices.
        split: name of the split.
        scales: shorter sides in pixels; none: `default_scales`.
        track: (iterable of batches, number of images, batch size) -> the same batches; may show progress.

    Raises:
        ConfigError: a scale is less than the size of the localizer's input.
        DataError: an image cannot be read.
    """
    scales = tuple(sorted(scales or default_scales(task)))  # the second stage warps from the last
    least = task.image_shape[0]
    if min(scales) < least:
        raise ConfigError(f"--scales: {min(scales)} is less than {least}, the size of the network's input")
    with strategy.scope():
        locate = dense_locate(model)

    def views(image, objects):
        pixels = decode(image, task.image_shape[2])
        interpolation = task.description.preprocessing.interpolation
        whole = tuple(transforms.resize_shorter_side(pixels, scale, interpolation) for scale in scales)
        return whole, task.target_of(pixels, objects)

    def replica_step(batch):
        (images, target), weights = batch
        found, oracle = locate(images, target["labels"], tf.maximum(target["sizes"], 1.0))  # 0 of unreadable images
        names = {"classes": found.classes, "scores": found.scores, "boxes": found.boxes, "oracle_boxes": oracle}
        return target | names | {"weights": weights}

    @tf.function(reduce_retracing=True, autograph=False)
    def step(batch):
        outputs = strategy.run(replica_step, args=(batch,))
        return {name: over_replicas(strategy, value) for name, value in outputs.items()}

    images, size = task.images.split(split), strategy.num_replicas_in_sync  # images differ in shape
    skips = task.config.data.on_unreadable_image == "skip"
    outputs = evaluation_outputs(
        step,
        strategy,
        lambda shard: pipeline.eval_batches(images, views, batch_size=size, shard=shard, skip_unreadable=skips),
        batch_size=size,
        steps=pipeline.eval_steps(images, size),
        image_errors=lambda number: pipeline.unreadable(images, pipeline.eval_indices(images, size, number)),
    )
    for of_step in track(outputs, images.size, size):
        yield {name: value.numpy() for name, value in of_step.items()}


def dense_locate(model: Localizer) -> Callable:
    """Returns a function (images (1, H, W, C) of each scale, labels (1,), sizes (1, 2)) -> answers, boxes of `labels`.

    `sizes` are height and width of the image before it was resized; the boxes are in its pixels.
    """
    any_size = Localizer(model.description, any_size=True)
    assign_tensors(named_variables(any_size), to_tensors(named_variables(model)), "the model")
    window = model.network.output["last"].shape[1]

    def locate(images, labels, sizes):
        """The second stage warps from the image at the last scale."""
        images = [transforms.at_least(each, model.image_size) for each in images]
        outputs = [any_size.network(each, training=False) for each in images]
        scores = tf.reduce_mean(tf.stack([_mean_scores(any_size, each["last"], window) for each in outputs]), 0)
        scores, classes = tf.math.top_k(scores, any_size.top_k)
        both = tf.concat([classes, labels[:, None]], axis=1)
        found = [_candidates(any_size, *each, both, sizes) for each in zip(images, outputs, strict=True)]
        boxes, box_scores = (tf.concat(parts, axis=2) for parts in zip(*found, strict=True))
        if any_size.rcnn:
            ratio = tf.tile(tf.cast(tf.shape(images[-1])[1:3], tf.float32) / sizes, [1, 2])[:, None]
            proposals = best_proposals(boxes * ratio[:, None], box_scores, any_size.options)
            boxes, best = any_size.rcnn.best_boxes(images[-1], proposals, both)
            boxes /= ratio
        else:
            boxes = tf.gather(boxes, tf.argmax(box_scores, axis=-1), batch_dims=2)
            best = tf.sigmoid(tf.reduce_max(box_scores, axis=-1))
        return Located(classes, scores, boxes[:, :-1], best[:, :-1]), boxes[:, -1]

    return locate


def _mean_scores(model, maps, window):
    """maps (1, h, w, F) -> scores (1, K): of the mean logits over all windows; the classifier is linear."""
    windows = tf.nn.avg_pool2d(tf.cast(maps, tf.float32), window, 1, "VALID")
    return tf.nn.softmax(model.network.get_layer("logits")(tf.reduce_mean(windows, (1, 2))))


def _candidates(model, images, outputs, classes, sizes):
    """Returns boxes (1, T, A, 4) in pixels of the image, and their scores (1, T, A), of all anchors of one scale."""
    found = model.candidates(outputs["features"], classes)
    shape = tf.cast(tf.shape(images)[1:3], tf.float32)
    boxes = coding.clip(coding.decode(found.deltas, found.anchors), shape)
    return boxes * tf.tile(sizes / shape, [1, 2])[:, None, None], found.scores
