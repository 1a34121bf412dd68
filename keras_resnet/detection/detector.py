"""Provides the detector: Faster R-CNN (Ren et al. 2015) with a feature pyramid (Lin et al. 2017).

With the option `masks`, it is Mask R-CNN (He et al. 2017).
"""

from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.boxes import coding
from keras_resnet.boxes.anchors import level_anchors
from keras_resnet.boxes.nms import class_nms, take
from keras_resnet.boxes.roi_align import assign_levels, roi_align
from keras_resnet.builder import STEM, build, with_stem
from keras_resnet.config.detection import DetectorOptions as Options
from keras_resnet.description import Description
from keras_resnet.detection.heads import box_head, feature_pyramid, mask_head, region_proposal_network

STEM_LEVEL = 1  # its stride is 2
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of a box head's deltas (Girshick 2015)


class Proposed(NamedTuple):
    """The output of the region proposal network for all anchors, and its proposals."""

    anchors: np.ndarray  # (A, 4)
    scores: tf.Tensor  # (N, A) float32 logits
    deltas: tf.Tensor  # (N, A, 4) float32
    boxes: tf.Tensor  # (N, P, 4) float32, the best first, without gradient
    counts: tf.Tensor  # (N,) int32, of the boxes; the rest is padding


class Detections(NamedTuple):
    """What a detector finds in each image: the best first, then zeros."""

    boxes: tf.Tensor  # (N, D, 4) float32 pixels
    scores: tf.Tensor  # (N, D) float32
    classes: tf.Tensor  # (N, D) int32
    counts: tf.Tensor  # (N,) int32
    masks: tf.Tensor | None = None  # (N, D, m, m) float32 in [0, 1], each in its box; if the detector has them

    def named(self) -> dict[str, tf.Tensor]:
        """Returns {name: tensor}."""
        return {name: value for name, value in self._asdict().items() if value is not None}


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
        options, preprocessing = self.options, description.preprocessing
        self.image_size = preprocessing.image_shape[:2]
        self.trunk = build(
            description.spec,
            features_only=True,
            input_shape=preprocessing.image_shape,
            mean=preprocessing.mean,
            std=preprocessing.std,
            **training,
        )
        if options.mask_stem_features:
            try:
                self.trunk = with_stem(self.trunk)
            except ValueError as error:
                raise ValueError(f"detector.mask_stem_features: true, but {error}") from None
        outputs = {level: self.trunk.output[stage] for level, stage in self._stages().items()}
        shapes = {level: tuple(output.shape[1:]) for level, output in outputs.items()}
        normalized = options.normalization == "batch"
        self.fpn = feature_pyramid(shapes, options.fpn_channels, options.extra_level, normalized)
        self.levels = sorted(self.fpn.output)
        self.anchors = self._anchors()
        ratios = len(options.anchor_ratios) * len(options.anchor_sizes[0])
        self.rpn = region_proposal_network(options.fpn_channels, ratios, options.rpn_convolutions)
        outputs_of_classes = len(description.labels) + options.unused_outputs
        self.box_head = box_head(
            (options.roi_size, options.roi_size, options.fpn_channels),
            options.box_features,
            logits=1 + outputs_of_classes,
            boxes=outputs_of_classes + options.background_outputs,
            dense=options.box_layers,
            convolutions=options.box_convolutions,
            normalized=normalized,
        )
        if options.masks:
            self.mask_head = mask_head(
                (options.mask_roi_size, options.mask_roi_size, options.fpn_channels + self._stem_channels),
                options.mask_channels,
                options.mask_convolutions,
                outputs_of_classes + options.background_outputs,
                normalized,
            )
        self.built = True

    @property
    def _stem_channels(self):
        return self.trunk.output[STEM].shape[-1] if self.options.mask_stem_features else 0

    def _stages(self):
        """Returns {level: name of the trunk's stage with that stride}, from `min_level` on."""
        found = {}
        for stage, output in self.trunk.output.items():
            if stage == STEM:
                continue
            level = round(np.log2(self.image_size[0] / output.shape[1]))
            if level >= self.options.min_level:
                found[level] = stage  # of stages with one stride, the last
        if not found:
            raise ValueError(
                f"detector.min_level: {self.options.min_level}, but {self.description.spec.name} has no stage with a "
                f"stride of {2**self.options.min_level}"
            )
        return found

    def _anchors(self):
        """Returns {level: (h * w * A, 4)}."""
        sizes = self.options.anchor_sizes
        if len(sizes) != len(self.levels):
            raise ValueError(
                f"detector.anchor_sizes: {len(sizes)} lists, expected one for each level {self.levels[0]} to "
                f"{self.levels[-1]}"
            )
        shapes = {level: self.fpn.output[level].shape[1:3] for level in self.levels}
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

    def pyramid(self, images, training=False, trunk: keras.Model | None = None) -> dict[int, Any]:
        """images (N, H, W, 3) -> {level: features (N, h, w, channels)}; by the detector's trunk or an equal one.

        With `mask_stem_features`, level 1 is the stem's output.
        """
        stages = (trunk or self.trunk)(images, training=training)
        inputs = {f"level{level}": stages[stage] for level, stage in self._stages().items()}
        found = self.fpn(inputs, training=training)
        return found | {STEM_LEVEL: stages[STEM]} if self.options.mask_stem_features else found

    def propose(self, features: dict[int, Any], training=False) -> Proposed:
        """Features of every level -> the region proposal network's outputs and its proposals."""
        options, scores, deltas, best = self.options, [], [], []
        before = options.proposals_before_nms[0 if training else 1]
        for level in self.levels:
            score, delta = (_rows(each, size) for each, size in zip(self.rpn(features[level]), (1, 4), strict=True))
            scores.append(score[..., 0])
            deltas.append(delta)
            best.append(self._best_of_level(level, score[..., 0], delta, min(before, delta.shape[1])))
        boxes, box_scores = (tf.concat(parts, axis=1) for parts in zip(*best, strict=True))
        level_of_box = tf.concat([tf.fill(tf.shape(s), i) for i, (_, s) in enumerate(best)], axis=1)
        count = options.proposals[0 if training else 1]
        kept = class_nms(boxes, box_scores, level_of_box, count, options.proposal_nms_iou)
        return Proposed(
            np.concatenate([self.anchors[level] for level in self.levels]),
            tf.concat(scores, axis=1),
            tf.concat(deltas, axis=1),
            tf.stop_gradient(take(kept, boxes)),
            kept.counts,
        )

    def _best_of_level(self, level, scores, deltas, count):
        """scores (N, A), deltas (N, A, 4) -> boxes (N, count, 4) and scores (N, count) of the best anchors."""
        scores, indices = tf.math.top_k(tf.stop_gradient(scores), count)
        deltas = tf.gather(tf.stop_gradient(deltas), indices, batch_dims=1)
        boxes = coding.decode(deltas, tf.gather(tf.constant(self.anchors[level]), indices))
        boxes = coding.clip(boxes, self.image_size)
        if self.options.min_proposal_size:
            scores = tf.where(shorter_side(boxes) >= self.options.min_proposal_size, scores, tf.float32.min)
        return boxes, scores

    def classify(self, features: dict[int, Any], boxes, training=False):
        """Features, boxes (N, R, 4) -> (logits (N, R, 1 + classes + unused), deltas (N, R, classes, 4)), float32."""
        rows = self._rois(features, boxes, self.options.roi_size, self.options.canonical_size)
        logits, deltas = (tf.cast(each, tf.float32) for each in self.box_head(rows, training=training))
        count = boxes.shape[1]
        return (
            tf.reshape(logits, [-1, count, logits.shape[-1]]),
            tf.reshape(deltas, [-1, count, deltas.shape[-1] // 4, 4])[:, :, : len(self.description.labels)],
        )

    def mask_logits(self, features: dict[int, Any], boxes, classes, training=False):
        """Features, boxes (N, R, 4), their classes (N, R) -> logits (N, R, m, m) float32 of the masks in the boxes."""
        rows = self.mask_head(self.mask_features(features, boxes), training=training)
        side, count = rows.shape[1], boxes.shape[1]
        of_class = tf.one_hot(tf.reshape(classes, [-1]), rows.shape[-1], dtype=tf.float32)
        logits = tf.reduce_sum(tf.cast(rows, tf.float32) * of_class[:, None, None], axis=-1)
        return tf.reshape(logits, [-1, count, side, side])

    def mask_features(self, features: dict[int, Any], boxes):
        """Features, boxes (N, R, 4) -> what the mask head reads (N * R, size, size, channels)."""
        options, size = self.options, self.options.mask_roi_size
        rows = self._rois(features, boxes, size, options.mask_canonical_size or options.canonical_size)
        if not options.mask_stem_features:
            return rows
        return tf.concat([rows, self._align(features, [STEM_LEVEL], boxes, None, size)], axis=-1)

    def _rois(self, features, boxes, size, canonical_size):
        """Features, boxes (N, R, 4) -> features of the boxes (N * R, size, size, channels)."""
        stages = list(self._stages())  # not the extra level
        levels = assign_levels(boxes, stages[0], stages[-1], canonical_size, self.options.canonical_level)
        return self._align(features, stages, boxes, levels, size)

    def _align(self, features, levels, boxes, level_of_box, size):
        options, maps = self.options, [features[level] for level in levels]
        pooled = roi_align(
            maps,
            [2**level for level in levels],
            boxes,
            level_of_box,
            output_size=size,
            sampling_ratio=options.sampling_ratio,
            aligned=options.roi_aligned,
        )
        return tf.reshape(pooled, [-1, size, size, maps[0].shape[-1]])

    def detect(self, images, count: int | None = None, trunk: keras.Model | None = None) -> Detections:
        """images (N, H, W, 3) in [0, 255] -> detections in pixels of these images.

        Args:
            images: of the detector's size.
            count: greatest number of detections of an image. None: the option `detections`.
            trunk: computes the same as the detector's trunk in another way, such as with folded normalization.
        """
        options = self.options
        features = self.pyramid(images, trunk=trunk)
        proposed = self.propose(features)
        logits, deltas = self.classify(features, proposed.boxes)
        boxes = coding.decode(deltas, proposed.boxes[:, :, None], BOX_WEIGHTS)
        boxes = coding.clip(boxes, self.image_size)
        real = tf.range(proposed.boxes.shape[1])[None] < proposed.counts[:, None]
        scores = tf.nn.softmax(logits)[..., 1 : 1 + boxes.shape[2]] * tf.cast(real, tf.float32)[..., None]
        if options.min_detection_size:
            scores *= tf.cast(shorter_side(boxes) >= options.min_detection_size, tf.float32)
        classes = tf.zeros_like(scores, tf.int32) + tf.range(scores.shape[-1])
        boxes, scores, classes = (_flat(each, rank) for each, rank in ((boxes, 1), (scores, 0), (classes, 0)))
        limits = count or options.detections, options.nms_iou, options.score_threshold
        kept = class_nms(boxes, scores, classes, *limits)
        found = Detections(take(kept, boxes), take(kept, scores), take(kept, classes), kept.counts)
        if not options.masks:
            return found
        return found._replace(masks=tf.sigmoid(self.mask_logits(features, found.boxes, found.classes)))

    def call(self, images, training=False):
        """Returns `detect(images)` as a dict; training goes through the parts."""
        return self.detect(images).named()


def build_detector(description: Description, **training) -> Detector:
    """Builds the detector of a description with labels, image size and options, without weights."""
    return Detector(description, **training)


def with_options(description: Description, options: Options) -> Description:
    """Returns the description of a detector with these options."""
    return replace(description, detector=options.model_dump(mode="json"))


def shorter_side(boxes):
    """boxes (..., 4) -> (...): the shorter of height and width."""
    return tf.reduce_min(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _rows(values, size):
    """values (N, h, w, A * size) -> (N, h * w * A, size) float32."""
    height, width, channels = values.shape[1:]
    return tf.reshape(tf.cast(values, tf.float32), [-1, height * width * channels // size, size])


def _flat(values, rank):
    """values (N, R, K, ...) -> (N, R * K, ...), where `rank` axes follow."""
    ends = list(values.shape[3 : 3 + rank])
    return tf.reshape(values, [-1, values.shape[1] * values.shape[2], *ends])
