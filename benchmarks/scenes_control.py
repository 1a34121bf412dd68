"""A detector of `scenes` beside a control that learned no classes, and beside its ceilings.

python benchmarks/scenes_control.py RUN

The control takes the detector's proposals and gives each the class of the nearest patch of a training object (16x16
gray pixels). Of three scores, the proposal's rank, the similarity of the patches, and both, it is given the best.
"""

import sys

import numpy as np
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from keras_resnet.boxes.nms import class_nms, take
from keras_resnet.commands.runs import load_run
from keras_resnet.data.pipeline import Shard
from keras_resnet.detection.coco_metrics import CocoMetrics
from keras_resnet.detection.collector import Collector
from keras_resnet.task import load_task

PATCH, CHUNK = 16, 50


def patches(images, boxes):
    """images (N, H, W, 3), boxes (N, R, 4) -> (N, R, PATCH^2): gray, darker at the border, of norm 1."""
    side, count = images.shape[1], boxes.shape[1]
    gray = tf.image.rgb_to_grayscale(images)
    rows = tf.repeat(tf.range(len(images)), count)
    cut = tf.image.crop_and_resize(gray, tf.reshape(boxes, (-1, 4)) / side, rows, (PATCH, PATCH))[..., 0].numpy()
    cut -= cut.mean((1, 2), keepdims=True)
    border = np.concatenate([cut[:, 0], cut[:, -1], cut[:, :, 0], cut[:, :, -1]], axis=1).mean(1)
    cut *= np.where(border > 0, -1, 1)[:, None, None]
    flat = cut.reshape(len(images), count, -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-6)


def batches(task, split):
    """Yields images, their objects in pixels of the network's input, and the batch as `Task.evaluate` takes it."""
    for batch in task.eval_dataset(split, Shard(0, 1, CHUNK)):
        (images, objects, geometry), _ = batch
        boxes = objects["boxes"].numpy() * geometry.numpy()[:, :1, None]
        counted = objects["valid"].numpy() & ~objects["ignored"].numpy()
        yield images, boxes, objects["classes"].numpy(), counted, batch


def measured(task, outputs, one_class=False):
    """Returns COCO's metrics of detections; with one class, of the boxes alone."""
    collector = Collector(CocoMetrics(1 if one_class else len(task.labels)))
    for each in outputs:
        if one_class:
            each = each | {name: np.zeros_like(each[name]) for name in ("classes", "true_classes")}
        collector.add(each)
    found = collector.metrics()
    return f"{found['ap']:.3f} | {found['ap50']:.3f}"


def main(path):
    """Prints a table."""
    run = load_run(path, "best")
    task, model = load_task(run.config, run.description), run.model
    known, known_classes = [], []
    for images, boxes, classes, counted, _ in batches(task, "train"):
        known.append(patches(images, boxes)[counted])
        known_classes.append(classes[counted])
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(np.concatenate(known))
    known_classes = np.concatenate(known_classes)

    def classified(images, boxes):
        """Returns the class of the nearest patch (N, R) and the similarity to it, a cosine."""
        distance, index = nearest.kneighbors(patches(images, boxes).reshape(-1, PATCH**2))
        return known_classes[index].reshape(boxes.shape[:2]), (1 - distance**2 / 2).reshape(boxes.shape[:2])

    detector, controls = [], {"rank": [], "similarity": [], "both": []}
    right = {"box head": [], "nearest patch": []}
    for images, boxes, classes, counted, batch in batches(task, "test"):
        outputs = {name: value.numpy() for name, value in task.evaluate(model, batch).items() if name != "images"}
        detector.append(outputs)
        features = model.feature_maps(images)
        logits, _ = model.classify(features, tf.constant(boxes))
        right["box head"].append((logits.numpy()[..., 1:].argmax(-1) == classes)[counted])
        right["nearest patch"].append((classified(images, boxes)[0] == classes)[counted])
        proposed = model.propose(features)
        found, similarity = classified(images, proposed.boxes.numpy())
        real = np.arange(found.shape[1]) < proposed.counts.numpy()[:, None]
        rank = np.broadcast_to(1 / (1 + np.arange(found.shape[1])), found.shape)
        for name, scores in {"rank": rank, "similarity": similarity, "both": rank * similarity}.items():
            scores = tf.constant(np.where(real, np.maximum(scores, 1e-6), 0), tf.float32)
            kept = class_nms(proposed.boxes, scores, found, 20, 0.5, 0.0)
            ratios = batch[0][2][:, :1, None]
            controls[name].append(
                outputs
                | {
                    "boxes": (take(kept, proposed.boxes) / ratios).numpy(),
                    "scores": take(kept, scores).numpy(),
                    "classes": take(kept, tf.constant(found)).numpy().astype(np.int32),
                    "counts": kept.counts.numpy(),
                }
            )
    print("| test images | AP | AP50 |\n|---|---|---|")
    print(f"| detector | {measured(task, detector)} |")
    for name, outputs in controls.items():
        print(f"| proposals, class of the nearest patch, score: {name} | {measured(task, outputs)} |")
    print(f"| the detector's boxes, whatever their class | {measured(task, detector, one_class=True)} |\n")
    for name, each in right.items():
        print(f"{name}: {100 * np.concatenate(each).mean():.1f} % of the true boxes have the right class")


if __name__ == "__main__":
    main(sys.argv[1])
