"""Provides the improvements in testing of He et al. 2015, appendix B: refinement, several scales, ensembles."""

from collections.abc import Sequence
from dataclasses import replace

import tensorflow as tf

from keras_resnet.detection.detections import Candidates, Detections, candidates_of, suppressed
from keras_resnet.detection.detector import Detector, build_detector
from keras_resnet.detection.roi_features import image_by_image
from keras_resnet.detection.voting import voted
from keras_resnet.weights.native import assign_tensors, named_variables, to_tensors

REFINED_NMS_IOU = 0.3


class ImprovedDetector:
    """Finds objects with one or more detectors of the same classes and image size.

    Args:
        detectors: their proposals are united, and the scores and boxes that they give to these are averaged. The
            thresholds are those of the first.
        refine: give the box of each proposal's best class new features, a new score and a new box; old and new
            predictions are suppressed together at an IoU of 0.3, and vote.
        scales: sides of the square that images are fitted into for the features of RoIs, in pixels; () for the
            detectors' own. Each RoI has its features at the two adjacent scales between which its side is
            `canonical_size`, and the greater of each two values. Proposals are those of the detectors' own size.

    Attributes:
        image_size: height and width of the images that `detect` takes.

    Raises:
        ValueError: the detectors have different classes, image sizes, or masks.
    """

    def __init__(self, detectors: Sequence[Detector], refine: bool = False, scales: Sequence[int] = ()):
        first = detectors[0]
        for each in detectors[1:]:
            if answers_of(each) != answers_of(first):
                raise ValueError("the detectors of an ensemble need the same classes, image size and kind of answers")
        self.options, self.refine = first.options, refine
        self._side = first.image_size[0]
        self._scales = sorted(scales)
        side = max([self._side, *self._scales])
        self.image_size = (side, side)
        sizes = {self._side, *self._scales}
        self._detectors = [{size: _of_size(each, size) for size in sizes} for each in detectors]

    def detect(self, images, count: int | None = None) -> Detections:
        """images (N, H, W, 3) in [0, 255] -> detections in pixels of these images; see `Detector.detect`."""
        sized = {size: _resized(images, size) for size in (self._side, *self._scales)}
        maps = [{size: each.feature_maps(sized[size]) for size, each in sizes.items()} for sizes in self._detectors]
        rois, real = self._proposals(maps)
        candidates = self._candidates(maps, rois, real)
        count, threshold = count or self.options.detections, self.options.score_threshold
        if self.refine:
            best = tf.argmax(candidates.scores, axis=-1, output_type=tf.int32)
            again = self._candidates(maps, tf.gather(candidates.boxes, best, batch_dims=2), real)
            candidates = Candidates(*(tf.concat(each, axis=1) for each in zip(candidates, again, strict=True)))
            found = voted(suppressed(candidates, count, REFINED_NMS_IOU, threshold), candidates, threshold)
        else:
            found = suppressed(candidates, count, self.options.nms_iou, threshold)
        if self.options.masks:
            found = found._replace(masks=self._masks(maps, found))
        return found._replace(boxes=found.boxes * (self.image_size[0] / self._side))

    def _proposals(self, maps):
        """Returns the RoIs (N, R, 4) of all detectors, and which of them are no padding (N, R)."""
        each = [sizes[self._side].propose(of[self._side]) for sizes, of in zip(self._detectors, maps, strict=True)]
        return tf.concat([one.boxes for one in each], axis=1), tf.concat([one.real for one in each], axis=1)

    def _candidates(self, maps, rois, real):
        count, classes = rois.shape[1], len(self._detectors[0][self._side].description.labels)
        shapes = (count, 1 + classes), (count, classes, 4)
        scores, deltas = image_by_image(self._averaged, (maps, rois), shapes)
        return candidates_of(scores, deltas, rois, real, self.options, (self._side, self._side))

    def _averaged(self, maps, rois):
        """Returns the mean scores (N, R, 1 + K) and deltas (N, R, K, 4) of all detectors."""
        scores, deltas = 0.0, 0.0
        for sizes, of in zip(self._detectors, maps, strict=True):
            logits, own = self._classified(sizes, of, rois)
            # Detectors may differ in how many outputs belong to no class.
            scores += tf.nn.softmax(logits)[..., : 1 + own.shape[2]] / len(maps)
            deltas += own / len(maps)
        return scores, deltas

    def _classified(self, sizes, maps, rois):
        detector = sizes[self._side]
        if not self._scales:
            return detector.classify(maps[self._side], rois)
        boxes = detector.with_whole_image(rois)
        sides = tf.sqrt(tf.reduce_prod(tf.maximum(boxes[..., 2:] - boxes[..., :2], 1.0), axis=-1))
        first = first_scales(sides / self._side, self._scales, detector.options.canonical_size)
        first = tf.reshape(first, [-1, 1, 1, 1])
        smaller, larger = 0.0, 0.0
        for number, size in enumerate(self._scales):
            pooled = sizes[size].pooled(maps[size], boxes * (size / self._side))
            smaller = tf.where(first == number, pooled, smaller)
            larger = tf.where(tf.minimum(first + 1, len(self._scales) - 1) == number, pooled, larger)
        rows = tf.maximum(detector.roi_vectors(smaller), detector.roi_vectors(larger))
        return detector.siblings(rows, rois.shape[1])

    def _masks(self, maps, found):
        masks = [
            tf.sigmoid(sizes[self._side].mask_logits(of[self._side], found.boxes, found.classes))
            for sizes, of in zip(self._detectors, maps, strict=True)
        ]
        return tf.add_n(masks) / len(masks)


def first_scales(shares, scales: Sequence[int], canonical_size: float):
    """shares (...) of the image's side that RoIs take -> (...) int32: the smaller of two adjacent scales.

    At the ideal scale a RoI's side has `canonical_size` pixels. It is between the two scales, or the two are the first
    or last of all. With one scale, it is 0.
    """
    below = tf.reduce_sum(tf.cast(canonical_size / shares[..., None] >= tf.constant(scales, tf.float32), tf.int32), -1)
    return tf.clip_by_value(below - 1, 0, max(len(scales) - 2, 0))


def answers_of(detector: Detector) -> tuple:
    """Returns what detectors of one ensemble have in common: classes, image size, and whether they have masks."""
    return detector.description.labels, detector.image_size, detector.options.masks


def _of_size(detector, size):
    """Returns the detector for images of another size, with a copy of its weights."""
    if size == detector.image_size[0]:
        return detector
    about = detector.description
    other = build_detector(replace(about, preprocessing=replace(about.preprocessing, image_size=size)))
    assign_tensors(named_variables(other), to_tensors(named_variables(detector)), "the detector")
    return other


def _resized(images, size):
    """images (N, H, W, C) -> (N, size, size, C)."""
    if images.shape[1] == size:
        return images
    return tf.image.resize(tf.cast(images, tf.float32), (size, size), antialias=True)
