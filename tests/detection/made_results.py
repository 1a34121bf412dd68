"""Makes what an evaluation collects, from lists of boxes."""

import numpy as np
import tensorflow as tf

from keras_resnet.data import scenes
from keras_resnet.detection.collector import Collector
from keras_resnet.detection.detections import Detections


def step(true, found, weights=(1,), size=200):
    """Returns the outputs of a step for one image; true: (box, class, ignored), found: (box, class, score)."""
    outputs = {
        "true_boxes": np.zeros((1, size, 4), np.float32),
        "true_classes": np.zeros((1, size), np.int32),
        "true_areas": np.zeros((1, size), np.float32),
        "true_ignored": np.zeros((1, size), bool),
        "true_valid": np.arange(size)[None] < len(true),
        "boxes": np.zeros((1, size, 4), np.float32),
        "scores": np.zeros((1, size), np.float32),
        "classes": np.zeros((1, size), np.int32),
        "counts": np.array([len(found)]),
        "weights": np.array(weights, np.float32),
    }
    for i, (box, label, *ignored) in enumerate(true):
        outputs["true_boxes"][0, i], outputs["true_classes"][0, i] = box, label
        outputs["true_areas"][0, i] = (box[2] - box[0]) * (box[3] - box[1])
        outputs["true_ignored"][0, i] = bool(ignored and ignored[0])
    for i, (box, label, score) in enumerate(found):
        outputs["boxes"][0, i], outputs["classes"][0, i], outputs["scores"][0, i] = box, label, score
    return outputs


def collected(measure, *steps):
    """Returns the collector of these steps."""
    collector = Collector(measure)
    for each in steps:
        collector.add(each)
    return collector


def random_steps(images=12, classes=2):
    """Returns steps with random objects, some to be ignored, and shifted ones as detections, highest score first."""
    random, steps = np.random.RandomState(0), []
    for _ in range(images):
        corners = random.uniform(0, 150, (random.randint(0, 6), 2)).round()
        true = [
            ((y, x, y + h, x + w), random.randint(classes), random.rand() < 0.2)
            for (y, x), h, w in zip(corners, *random.uniform(8, 200, (2, len(corners))).round(), strict=True)
        ]
        shifted = [np.add(box, np.round(random.normal(0, 3, 4), 1)) for box, *_ in true for _ in range(2)]
        found = [(box, random.randint(classes), round(random.rand(), 3)) for box in shifted]
        steps.append(step(true, sorted(found, key=lambda each: -each[2])))
    return steps


class Answers:
    """Instead of a detector: the objects of the test scenes, moved a little, found by the sum of the pixels."""

    def __init__(self, task, count):
        scene = [scenes.paint_scene("test", i) for i in range(count)]
        self.sums = tf.constant([float(each.image.sum()) for each in scene])
        size = task.max_detections
        boxes, labels = np.zeros((count, size, 4), np.float32), np.zeros((count, size), np.int32)
        for i, each in enumerate(scene):
            boxes[i, : len(each.labels)], labels[i, : len(each.labels)] = each.boxes + 1.5, each.labels
        self.boxes, self.labels = tf.constant(boxes), tf.constant(labels)
        self.counts = tf.constant([len(each.labels) for each in scene])

    def detect(self, images, count):
        assert count == self.boxes.shape[1]
        sums = tf.reduce_sum(images, (1, 2, 3))
        index = tf.argmin(tf.abs(sums[:, None] - self.sums), axis=1)
        labels = tf.gather(self.labels, index)
        scores = tf.linspace(0.9, 0.1, count)[None] - tf.cast(index, tf.float32)[:, None] / 100
        return Detections(tf.gather(self.boxes, index), scores, labels, tf.gather(self.counts, index))
