"""Box voting (Gidaris and Komodakis 2015): a kept box becomes the average of the boxes that it stands for."""

import tensorflow as tf

from keras_resnet.boxes.iou import pairwise_iou
from keras_resnet.detection.detections import Candidates, Detections

VOTING_IOU = 0.5


def voted(found: Detections, candidates: Candidates, score_threshold: float = 0.0) -> Detections:
    """Detections (N, D) of candidates (N, R, K) -> the same detections with other boxes.

    Each box becomes the mean of the candidates of its class that overlap it by at least `VOTING_IOU`, itself among
    them, weighted by their scores. Candidates whose score is not above the threshold do not vote.
    """
    # (N, K, R, 4), of which each detection takes its class.
    boxes = tf.gather(tf.transpose(candidates.boxes, [0, 2, 1, 3]), found.classes, batch_dims=1)
    scores = tf.gather(tf.transpose(candidates.scores, [0, 2, 1]), found.classes, batch_dims=1)
    overlaps = pairwise_iou(found.boxes[:, :, None], boxes)[:, :, 0]
    weights = tf.where((overlaps >= VOTING_IOU) & (scores > score_threshold), scores, 0.0)
    total = tf.reduce_sum(weights, axis=-1)[..., None]
    mean = tf.math.divide_no_nan(tf.reduce_sum(boxes * weights[..., None], axis=2), total)
    # Padding has no votes, and stays zero.
    return found._replace(boxes=tf.where(total > 0, mean, found.boxes))
