"""Finds why validation is at chance after a training that learned its own images."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from scipy.optimize import linear_sum_assignment

from keras_resnet.data.pipeline import Shard
from keras_resnet.layers import kept_statistics

AT_CHANCE = 0.9  # share of the error of a constant answer, from which on an error counts as one
LEARNED = 0.5  # share of it, up to which an error counts as learned
_IMAGES = 1024  # of a split that are looked at
_SHOWN = 5  # pairs of classes


def findings(task, model, metrics: Mapping[str, float]) -> list[str]:
    """Returns a line that names the cause if training images are recognized and validation images are not, else [].

    Args:
        task: the run's task.
        model: the trained network.
        metrics: the newest values of the run's metrics, such as "train/error" and "validation/error" in percent.
    """
    chance = 100 * (1 - 1 / len(task.labels))
    train, validation = metrics.get("train/error"), metrics.get("validation/error")
    if train is None or validation is None or train > LEARNED * chance or validation < AT_CHANCE * chance:
        return []
    start = (
        f"validation/error {validation:.1f} % is no better than chance ({chance:.1f} %), train/error is {train:.1f} %"
    )
    return [f"{start}: {_cause(task, model, LEARNED * chance)}"]


def _cause(task, model, learned):
    recognized = _error(*_answers(task, model, "train"))
    if recognized > learned:
        normalized = _error(*_answers(task, model, "train", by_batch=True))
        if normalized <= learned:
            return (
                f"the moving statistics of batch normalization do not fit. Training images have an error of "
                f"{recognized:.1f} % with them and {normalized:.1f} % with those of their batch. Try a larger "
                "train.batch_size, more steps, train.precise_bn_batches=200, or model.weights and "
                "train.batch_norm=frozen"
            )
        return (
            f"training images have an error of {recognized:.1f} % too if they are prepared as in validation. "
            "Compare data.crop and data.image_size with eval.crop_pct, and see examples.png"
        )
    labels, answers = _answers(task, model, "validation")
    order = _order(labels, answers, len(task.labels))
    renamed = _error(labels, order[answers])
    if renamed <= learned:
        pairs = [
            f'"{task.labels[label]}" of validation is "{task.labels[answer]}" of training'
            for answer, label in enumerate(order)
            if answer != label
        ]
        more = f" and {len(pairs) - _SHOWN} more" * (len(pairs) > _SHOWN)
        return (
            f"the classes of validation are in another order. With {', '.join(pairs[:_SHOWN])}{more}, its error is "
            f"{renamed:.1f} %. Check the labels of both splits"
        )
    return (
        f"the network knows its training images ({recognized:.1f} % error) and nothing that holds for others, or "
        "validation has images of another kind. Try more images, augmentation, model.weights, and `keras-resnet "
        "verify-data`"
    )


def _answers(task, model, split, by_batch=False):
    """Returns (labels, top classes) of the first images of a split, as validation prepares them."""
    found = []
    for (images, labels), weights in task.eval_dataset(split, Shard(0, 1, task.config.eval.batch_size)):
        with kept_statistics(by_batch):
            logits = model(images, training=by_batch)
        real = weights.numpy() > 0
        found.append((labels.numpy()[real], tf.argmax(logits, -1).numpy()[real]))
        if sum(len(labels) for labels, _ in found) >= _IMAGES:
            break
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def _error(labels, answers):
    return 100 * float(np.mean(labels != answers))


def _order(labels, answers, classes):
    """Returns the label of each answer, one to one, with which most images are right."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (answers, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1]
