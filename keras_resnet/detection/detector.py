"""Provides the detector: Faster R-CNN (Ren et al. 2015) with a feature pyramid (Lin et al. 2017), or the paper's.

With the option `masks`, it is Mask R-CNN (He et al. 2017).
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_resnet.boxes.anchors import level_anchors
from keras_resnet.builder import STEM, stride_of
from keras_resnet.config.detector_options import DetectorOptions as Options
from keras_resnet.description import Description
from keras_resnet.detection.detections import Detections, candidates_of, suppressed
from keras_resnet.detection.heads import box_head, feature_pyramid, region_proposal_network
from keras_resnet.detection.parts import build_mask_head, build_roi_head, build_trunk
from keras_resnet.detection.proposals import Proposed, proposals_of
from keras_resnet.detection.roi_features import image_by_image, roi_features

STEM_LEVEL = 1  # its stride is 2
C4_RPN_CHANNELS = 512  # Ren et al. 2015


class Networks(NamedTuple):
    """The networks with normalization of a detector; exports have others that compute the same."""

    trunk: keras.Model  # images -> {stage: features}
    roi_head: keras.Model  # features of RoIs -> what the siblings read


@keras.saving.register_keras_serializable("keras_resnet")
class Detector(keras.Model):
    """images (N, H, W, 3) in [0, 255] -> `Detections` as a dict.

    Args:
        description: the network, its preprocessing, the class names, and the options of the detector.
        **training: `drop_path_rate`, `zero_init_last_gamma` and `dropout` of `keras_resnet.builder.build`.
    """

    def __init__(self, description: Description, **training):
        # Boxes stay float32 in mixed precision: Keras would cast them to bfloat16, whose steps are 4 pixels at 1000.
        super().__init__(autocast=False, name=f"{description.spec.name}_detector")
        self.options = Options.model_validate(description.detector)
        self.description = with_options(description, self.options)
        self.image_size = description.preprocessing.image_shape[:2]
        options, classes = self.options, len(description.labels) + self.options.unused_outputs
        self.trunk = build_trunk(self.description, options, training)
        maps = {level: self.trunk.output[stage] for level, stage in self._stages().items()}
        channels = next(iter(maps.values())).shape[-1]
        if options.design == "fpn":
            channels = options.fpn_channels
            shapes = {level: tuple(output.shape[1:]) for level, output in maps.items()}
            self.fpn = feature_pyramid(shapes, channels, options.extra_level, options.normalization == "batch")
            maps = self.fpn.output
        self.levels = sorted(maps)
        self.anchors = self._anchors({level: output.shape[1:3] for level, output in maps.items()})
        ratios = len(options.anchor_ratios) * len(options.anchor_sizes[0])
        rpn_channels = options.rpn_channels or (options.fpn_channels if options.design == "fpn" else C4_RPN_CHANNELS)
        self.rpn = region_proposal_network(channels, ratios, rpn_channels, options.rpn_convolutions)
        self.roi_head = build_roi_head(self.description.spec, options, channels, training)
        boxes = classes + options.background_outputs
        features = self.roi_head.output.shape[-1] * (2 if options.context else 1)
        self.box_head = box_head(features, 1 + classes, boxes)
        if options.masks:
            self.mask_head = build_mask_head(self.trunk, self.roi_head, options, channels, boxes)
        self.built = True

    @property
    def networks(self) -> Networks:
        """Returns the networks with normalization."""
        return Networks(self.trunk, self.roi_head)

    def _stages(self):
        """Returns {level: name of the trunk's stage with that stride}: from `min_level` on, with c4 the last alone."""
        found = {}
        for stage in self.trunk.output:
            if stage == STEM:
                continue
            # Not from shapes: 40 pixels have 2 cells at a stride of 32.
            level = stride_of(self.description.spec, int(stage.removeprefix("stage"))).bit_length() - 1
            if level >= self.options.min_level:
                found[level] = stage  # of stages with one stride, the last
        if self.options.design == "c4":
            return {level: stage}
        if not found:
            raise ValueError(
                f"detector.min_level: {self.options.min_level}, but {self.description.spec.name} has no stage with a "
                f"stride of {2**self.options.min_level}"
            )
        return found

    def _anchors(self, shapes):
        """shapes {level: (h, w)} -> {level: (h * w * A, 4)}."""
        sizes = self.options.anchor_sizes
        if len(sizes) != len(self.levels):
            levels = f"each level {self.levels[0]} to {self.levels[-1]}" if len(self.levels) > 1 else "the only level"
            raise ValueError(f"detector.anchor_sizes: {len(sizes)} lists, expected one for {levels}")
        return {
            level: level_anchors(
                shapes[level], 2**level, size, self.options.anchor_ratios, self.options.anchor_convention
            )
            for level, size in zip(self.levels, sizes, strict=True)
        }

    def get_config(self):
        """Returns what `from_config` needs."""
        return {"description": self.description.to_json()}

    @classmethod
    def from_config(cls, config):
        """Creates a detector from `get_config`, without its weights."""
        return cls(Description.from_json(config["description"]))

    def feature_maps(self, images, training=False, networks: Networks | None = None) -> dict[int, Any]:
        """images (N, H, W, 3) -> {level: features (N, h, w, channels)}.

        With `mask_stem_features`, level 1 is the stem's output.
        """
        stages = (networks or self.networks).trunk(images, training=training)
        maps = {level: stages[stage] for level, stage in self._stages().items()}
        if self.options.design == "c4":
            return maps
        found = self.fpn({f"level{level}": each for level, each in maps.items()}, training=training)
        return found | {STEM_LEVEL: stages[STEM]} if self.options.mask_stem_features else found

    def propose(self, features: dict[int, Any], training=False) -> Proposed:
        """Features of every level -> the region proposal network's outputs and its proposals."""
        outputs = [self.rpn(features[level]) for level in self.levels]
        anchors = [self.anchors[level] for level in self.levels]
        return proposals_of(outputs, anchors, self.options, self.image_size, training)

    def classify(self, features: dict[int, Any], boxes, training=False, networks: Networks | None = None):
        """Features, boxes (N, R, 4) -> (logits (N, R, 1 + classes + unused), deltas (N, R, classes, 4)), float32."""
        pooled = self.pooled(features, self.with_whole_image(boxes))
        return self.siblings(self.roi_vectors(pooled, training, networks), boxes.shape[1], training)

    def with_whole_image(self, boxes):
        """Returns boxes (N, R, 4), with the option `context` (N, R + 1, 4): the last is the whole image."""
        if not self.options.context:
            return boxes
        whole = tf.zeros_like(boxes[:, :1]) + tf.constant([0.0, 0.0, *map(float, self.image_size)])
        return tf.concat([boxes, whole], axis=1)

    def pooled(self, features: dict[int, Any], boxes):
        """Features, boxes (N, R, 4) -> features of the boxes (N * R, size, size, channels)."""
        return roi_features(self._pooled_maps(features), boxes, self.options.roi_size, self.options)

    def roi_vectors(self, pooled, training=False, networks: Networks | None = None):
        """Features of boxes (B, size, size, channels) -> what the siblings read (B, features)."""
        rows = (networks or self.networks).roi_head(pooled, training=training)
        return tf.reduce_mean(rows, axis=[1, 2]) if self.options.design == "c4" else rows

    def siblings(self, rows, count: int, training=False):
        """Vectors of `count` boxes per image, and of any whole image -> (logits, deltas), see `classify`."""
        if self.options.context:
            rows = tf.reshape(rows, [-1, count + 1, rows.shape[-1]])
            own, whole = rows[:, :count], rows[:, count:]
            rows = tf.concat([own, tf.repeat(whole, count, axis=1)], axis=-1)
            rows = tf.reshape(rows, [-1, rows.shape[-1]])
        logits, deltas = (tf.cast(each, tf.float32) for each in self.box_head(rows, training=training))
        return (
            tf.reshape(logits, [-1, count, logits.shape[-1]]),
            tf.reshape(deltas, [-1, count, deltas.shape[-1] // 4, 4])[:, :, : len(self.description.labels)],
        )

    def mask_logits(self, features: dict[int, Any], boxes, classes, training=False, networks: Networks | None = None):
        """Features, boxes (N, R, 4), their classes (N, R) -> logits (N, R, m, m) float32 of the masks in the boxes."""
        rows = self.mask_head(self.mask_features(features, boxes, training, networks), training=training)
        side, count = rows.shape[1], boxes.shape[1]
        of_class = tf.one_hot(tf.reshape(classes, [-1]), rows.shape[-1], dtype=tf.float32)
        logits = tf.reduce_sum(tf.cast(rows, tf.float32) * of_class[:, None, None], axis=-1)
        return tf.reshape(logits, [-1, count, side, side])

    def mask_features(self, features: dict[int, Any], boxes, training=False, networks: Networks | None = None):
        """Features, boxes (N, R, 4) -> what the mask head reads (N * R, size, size, channels)."""
        options, maps = self.options, self._pooled_maps(features)
        if options.design == "c4":
            pooled = roi_features(maps, boxes, options.roi_size, options)
            return (networks or self.networks).roi_head(pooled, training=training)
        rows = roi_features(maps, boxes, options.mask_roi_size, options, options.mask_canonical_size)
        if not options.mask_stem_features:
            return rows
        stem = roi_features({STEM_LEVEL: features[STEM_LEVEL]}, boxes, options.mask_roi_size, options)
        return tf.concat([rows, stem], axis=-1)

    def _pooled_maps(self, features):
        """Returns the maps from which RoIs are pooled: not the extra level, and not the stem's."""
        return {level: features[level] for level in self._stages()}

    def detect(self, images, count: int | None = None, networks: Networks | None = None) -> Detections:
        """images (N, H, W, 3) in [0, 255] -> detections in pixels of these images.

        Args:
            images: of the detector's size.
            count: greatest number of detections of an image. None: the option `detections`.
            networks: compute the same as the detector's in another way, such as with folded normalization.
        """
        options = self.options
        features = self.feature_maps(images, networks=networks)
        proposed = self.propose(features)
        rois = proposed.boxes.shape[1]
        shapes = (rois, self.box_head.output[0].shape[-1]), (rois, len(self.description.labels), 4)
        classify = partial(self.classify, networks=networks)
        logits, deltas = image_by_image(classify, (features, proposed.boxes), shapes)
        scores = tf.nn.softmax(logits)
        candidates = candidates_of(scores, deltas, proposed.boxes, proposed.real, options, self.image_size)
        found = suppressed(candidates, count or options.detections, options.nms_iou, options.score_threshold)
        if not options.masks:
            return found
        shape = found.boxes.shape[1], *self.mask_head.output.shape[1:3]
        mask_logits = partial(self.mask_logits, networks=networks)
        (logits,) = image_by_image(
            lambda *each: (mask_logits(*each),), (features, found.boxes, found.classes), (shape,)
        )
        return found._replace(masks=tf.sigmoid(logits))

    def call(self, images, training=False):
        """Returns `detect(images)` as a dict; training goes through the parts."""
        return self.detect(images).named()


def build_detector(description: Description, **training) -> Detector:
    """Builds the detector of a description with labels, image size and options, without weights."""
    return Detector(description, **training)


def with_options(description: Description, options: Options) -> Description:
    """Returns the description of a detector with these options."""
    return replace(description, detector=options.model_dump(mode="json"))
