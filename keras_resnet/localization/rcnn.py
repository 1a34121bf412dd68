"""Provides the second stage: R-CNN (Girshick et al. 2014) on the proposals of a class (He et al. 2015, appendix C).

A proposal is cropped, warped to the size of the network's input, and classified by a network of its own, with a score
and a box for each class.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import keras
import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.boxes.nms import nms, take
from keras_resnet.boxes.roi_align import roi_align
from keras_resnet.builder import build_described
from keras_resnet.config.localization import LocalizerOptions as Options
from keras_resnet.description import Description
from keras_resnet.localization.layers import PerClass

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of its deltas (Girshick 2015)
Warp = Literal["crop", "gather"]  # of `boxes.roi_align`


class Proposals(NamedTuple):
    """The best boxes of each class in each image, best first, then padding."""

    boxes: tf.Tensor  # (N, T, P, 4) float32 pixels
    counts: tf.Tensor  # (N, T) int32


def best_proposals(boxes, scores, options: Options) -> Proposals:
    """boxes (N, T, A, 4), scores (N, T, A) of T classes -> the best of each class that do not overlap a better one."""
    count, classes, anchors = options.proposals, boxes.shape[1], boxes.shape[2] or tf.shape(boxes)[2]

    def best(rows, row_scores):
        kept = nms(rows, row_scores, count, options.proposal_nms_iou)
        return take(kept, rows), kept.counts

    if boxes.shape[0] == 1:  # without a loop, for LiteRT and ONNX
        found = [best(boxes[:, i], scores[:, i]) for i in range(classes)]
        return Proposals(*(tf.stack(parts, axis=1) for parts in zip(*found, strict=True)))
    rows, counts = best(tf.reshape(boxes, [-1, anchors, 4]), tf.reshape(scores, [-1, anchors]))
    return Proposals(tf.reshape(rows, [-1, classes, count, 4]), tf.reshape(counts, [-1, classes]))


def class_by_class(classify: Callable, images, boxes, classes):
    """images (N, H, W, C), boxes (N, T, P, 4), classes (N, T) -> `classify` of these, one class of an image at a time.

    200 proposals that are warped to 224 pixels take 0.1 GB, and 0.6 GB after the first convolution.
    """
    if boxes.shape[0] == 1:  # without a loop, for LiteRT and ONNX
        found = [classify(images, boxes[:, i : i + 1], classes[:, i : i + 1]) for i in range(boxes.shape[1])]
        return tuple(tf.concat(parts, axis=1) for parts in zip(*found, strict=True))
    count, proposals = boxes.shape[1:3]

    def of_class(number):
        image, place = number // count, number % count
        found = classify(images[image][None], boxes[image, place][None, None], classes[image, place][None, None])
        return tuple(part[0, 0] for part in found)

    specs = tf.TensorSpec((proposals,)), tf.TensorSpec((proposals, 4))
    numbers = tf.range(tf.shape(boxes)[0] * count)
    found = tf.map_fn(of_class, numbers, fn_output_signature=specs, parallel_iterations=1)
    return tuple(tf.reshape(part, [-1, count, *part.shape[1:]]) for part in found)


class RegionClassifier(keras.Model):
    """Boxes of images -> a score and deltas for the classes that are asked for.

    Args:
        description: the network, its preprocessing, the class names, and the options of the localizer as `head`.
        **training: as for `keras_resnet.builder.build`.
    """

    def __init__(self, description: Description, **training):
        super().__init__(autocast=False, name="rcnn")
        self.options = Options.model_validate(description.head)
        self.side, self.mean = description.preprocessing.image_shape[0], description.preprocessing.mean
        classifier = build_described(description, **training)
        self.network = keras.Model(classifier.input, classifier.get_layer("pool").output, name="regions")
        classes, width = len(description.labels), self.network.output.shape[-1]
        self.scores = PerClass(classes, 1, name="scores")
        self.deltas = PerClass(classes, 4, name="deltas")
        for layer in (self.scores, self.deltas):
            layer.build((None, None, width), (None, None))
        self.built = True

    def warped(self, images, boxes, warp: Warp = "crop"):
        """images (N, H, W, C), boxes (N, R, 4) -> (N * R, side, side, C): each box with `roi_context` around it."""
        center, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
        half *= self.options.roi_context
        boxes = tf.concat([center - half, center + half], axis=-1)
        # What is outside of the image has the mean color, as padding that follows the normalization.
        mean = tf.constant(self.mean if len(self.mean) == images.shape[-1] else (sum(self.mean) / len(self.mean),))
        found = roi_align([images - mean], [1], boxes, output_size=self.side, sampling_ratio=1, implementation=warp)
        return tf.reshape(found, [-1, self.side, self.side, images.shape[-1]]) + mean

    def classify(self, images, boxes, classes, training=False, warp: Warp = "crop", network=None):
        """images, boxes (N, T, P, 4), classes (N, T) -> scores (N, T, P) logits and deltas (N, T, P, 4), float32."""
        count, each = boxes.shape[1:3]
        rows = self.warped(images, tf.reshape(boxes, [-1, count * each, 4]), warp)
        features = (network or self.network)(rows, training=training)
        features = tf.reshape(features, [-1, each, features.shape[-1]])
        classes = tf.reshape(classes, [-1, 1])
        scores, deltas = (tf.cast(layer(features, classes), tf.float32) for layer in (self.scores, self.deltas))
        return tf.reshape(scores, [-1, count, each]), tf.reshape(deltas, [-1, count, each, 4])

    def best_boxes(self, images, proposals: Proposals, classes, warp: Warp = "crop", network=None):
        """images, proposals of classes (N, T) -> the box of each class with the highest score (N, T, 4), and scores."""
        classify = partial(self.classify, warp=warp, network=network)
        scores, deltas = class_by_class(classify, images, proposals.boxes, classes)
        real = tf.range(scores.shape[2]) < proposals.counts[..., None]
        scores = tf.where(real, scores, tf.float32.min)
        best = tf.argmax(scores, axis=-1, output_type=tf.int32)
        deltas, boxes = (tf.gather(each, best, batch_dims=2) for each in (deltas, proposals.boxes))
        boxes = coding.clip(coding.decode(deltas, boxes, BOX_WEIGHTS), tf.shape(images)[1:3])
        return boxes, tf.sigmoid(tf.reduce_max(scores, axis=-1))
