"""Provides the localizer: a classifier, and a region proposal network for each class (He et al. 2015, appendix C)."""

from dataclasses import replace
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from keras_resnet.boxes import coding
from keras_resnet.boxes.anchors import cell_anchors
from keras_resnet.builder import build_described, stride_of
from keras_resnet.config.localization import LocalizerOptions as Options
from keras_resnet.description import Description
from keras_resnet.localization.layers import PerClass
from keras_resnet.localization.rcnn import Proposals, RegionClassifier, Warp, best_proposals


class Candidates(NamedTuple):
    """What the region proposal networks of T classes compute for the A anchors of an image."""

    anchors: tf.Tensor  # (A, 4) float32 pixels
    scores: tf.Tensor  # (N, T, A) float32 logits: whether an object of the class is there
    deltas: tf.Tensor  # (N, T, A, 4) float32


class Located(NamedTuple):
    """The answer for each image: the classes with the highest scores, best first, and one box for each."""

    classes: tf.Tensor  # (N, k) int32
    scores: tf.Tensor  # (N, k) float32, of the classifier
    boxes: tf.Tensor  # (N, k, 4) float32 pixels
    box_scores: tf.Tensor  # (N, k) float32 in [0, 1]


@keras.saving.register_keras_serializable("keras_resnet")
class Localizer(keras.Model):
    """images (N, H, W, C) in [0, 255] -> `Located` as a dict.

    Args:
        description: the network, its preprocessing, the class names, and the options of the localizer as `head`.
        any_size: take images of any size, in place of the description's.
        **training: `drop_path_rate`, `zero_init_last_gamma` and `dropout` of `keras_resnet.builder.build`.
    """

    def __init__(self, description: Description, any_size: bool = False, **training):
        # Boxes stay float32 in mixed precision.
        super().__init__(autocast=False, name=f"{description.spec.name}_localizer")
        self.options = Options.model_validate(description.head)
        self.description = with_options(description, self.options)
        self.network = _network(build_described(description, 0 if any_size else None, **training), self.options.stage)
        self.image_size = description.preprocessing.image_shape[0]
        self.stride = stride_of(description.spec, self.options.stage)
        classes, shapes = len(description.labels), len(self.options.anchor_sizes) * len(self.options.anchor_ratios)
        width = self.network.output["features"].shape[-1]
        with keras.name_scope("head"):
            self.conv = _convolution(width, self.options.channels)
            self.scores = PerClass(classes, shapes, name="scores")
            self.deltas = PerClass(classes, 4 * shapes, name="deltas")
            for layer in (self.scores, self.deltas):
                layer.build((None, None, self.options.channels or width), (None, None))
            self.rcnn = _second_stage(self.description, **training)
        if self.rcnn:  # trains alone
            for part in (self.network, self.conv, self.scores, self.deltas):
                if part:
                    part.trainable = False
        self.built = True

    def get_config(self):
        """Returns what `from_config` needs."""
        return {"description": self.description.to_json()}

    @classmethod
    def from_config(cls, config):
        """Creates a localizer from `get_config`, without its weights."""
        return cls(Description.from_json(config["description"]))

    @property
    def top_k(self) -> int:
        """Returns the number of (class, box) pairs of an answer."""
        return min(self.options.top_k, len(self.description.labels))

    def candidates(self, features, classes, training=False) -> Candidates:
        """features (N, h, w, F), classes (N, T) -> the outputs of these classes for all anchors."""
        x = self.conv(features, training=training) if self.conv else features
        height, width = (x.shape[axis] or tf.shape(x)[axis] for axis in (1, 2))
        rows = tf.reshape(x, [-1, height * width, x.shape[-1]])
        count = classes.shape[1]
        outputs = (self.scores(rows, classes), self.deltas(rows, classes))
        shapes = self.scores.filters
        scores, deltas = (
            tf.reshape(tf.cast(each, tf.float32), [-1, count, height * width * shapes, size])
            for each, size in zip(outputs, (1, 4), strict=True)
        )
        return Candidates(self.anchors(height, width), scores[..., 0], deltas)

    def anchors(self, height, width):
        """Returns the anchors of a feature map (h * w * A, 4), as `boxes.anchors.level_anchors` for known sizes."""
        shapes = cell_anchors(self.options.anchor_sizes, self.options.anchor_ratios)
        y, x = ((tf.range(count, dtype=tf.float32) + 0.5) * self.stride for count in (_number(height), _number(width)))
        y, x = tf.meshgrid(y, x, indexing="ij")
        centers = tf.stack([y, x, y, x], axis=-1)
        return tf.reshape(centers[:, :, None] + tf.constant(shapes), [-1, 4])

    def boxes(self, images, features, classes, warp: Warp = "crop", regions: keras.Model | None = None):
        """images, features, classes (N, T) -> the best box of each class (N, T, 4) float32, and its score (N, T)."""
        found = self.candidates(features, classes)
        if self.rcnn:
            proposals = self.proposals(images, found)
            return self.rcnn.best_boxes(images, proposals, classes, warp, regions)
        best = tf.argmax(found.scores, axis=-1, output_type=tf.int32)
        deltas = tf.gather(found.deltas, best, batch_dims=2)
        boxes = coding.clip(coding.decode(deltas, tf.gather(found.anchors, best)), tf.shape(images)[1:3])
        return boxes, tf.sigmoid(tf.reduce_max(found.scores, axis=-1))

    def proposals(self, images, found: Candidates) -> Proposals:
        """Returns the proposals of the second stage, without gradient."""
        boxes = coding.clip(coding.decode(found.deltas, found.anchors), tf.shape(images)[1:3])
        return best_proposals(tf.stop_gradient(boxes), tf.stop_gradient(found.scores), self.options)

    def locate(
        self, images, network: keras.Model | None = None, regions: keras.Model | None = None, warp: Warp = "crop"
    ) -> Located:
        """images (N, H, W, C) in [0, 255] -> the answer for each, in pixels of these images.

        Args:
            images: of the localizer's size.
            network: computes the same as the localizer's network in another way, such as with folded normalization.
            regions: the same for the network of the second stage.
            warp: how proposals are warped, see `roi_align`.
        """
        outputs = (network or self.network)(images, training=False)
        classes, scores = self._best_classes(outputs)
        return Located(classes, scores, *self.boxes(images, outputs["features"], classes, warp, regions))

    def locate_with(self, images, labels) -> tuple[Located, Any]:
        """images, labels (N,) -> the answers, and the boxes (N, 4) of these classes, whatever the classifier says."""
        outputs = self.network(images, training=False)
        classes, scores = self._best_classes(outputs)
        both = tf.concat([classes, labels[:, None]], axis=1)
        boxes, box_scores = self.boxes(images, outputs["features"], both)
        return Located(classes, scores, boxes[:, :-1], box_scores[:, :-1]), boxes[:, -1]

    def _best_classes(self, outputs):
        scores, classes = tf.math.top_k(tf.nn.softmax(tf.cast(outputs["logits"], tf.float32)), self.top_k)
        return classes, scores

    def call(self, images, training=False):
        """Returns `locate(images)` as a dict; training goes through the parts."""
        return self.locate(images)._asdict()


def build_localizer(description: Description, **training) -> Localizer:
    """Builds the localizer of a description with labels, image size and options, without weights."""
    return Localizer(description, **training)


def with_options(description: Description, options: Options) -> Description:
    """Returns the description of a localizer with these options."""
    return replace(description, head=options.model_dump(mode="json"))


def _network(classifier, stage):
    """Returns a model images -> {"logits", "last": the map that is pooled, "features": that of the stage}."""
    last = classifier.get_layer("pool").input
    features = last
    if stage is not None and stage < len(classifier.description.spec.depths):
        features = [layer for layer in classifier.layers if layer.name.startswith(f"stage{stage}_")][-1].output
    outputs = {"logits": classifier.output, "last": last, "features": features}
    return keras.Model(classifier.input, outputs, name=classifier.name)


def _second_stage(description, **training):
    """Returns the second stage if the options have it; the names of its weights begin with "head/rcnn"."""
    if not description.head["rcnn"]:
        return None
    with keras.name_scope("rcnn"):
        return RegionClassifier(description, **training)


def _convolution(width, channels):
    """Returns a 3x3 convolution with ReLU (Ren et al. 2015); None for no channels."""
    if not channels:
        return None
    normal = keras.initializers.RandomNormal(stddev=0.01)
    conv = layers.Conv2D(channels, 3, padding="same", activation="relu", kernel_initializer=normal, name="conv")
    conv.build((None, None, None, width))
    return conv


def _number(size):
    return tf.cast(size, tf.float32)
