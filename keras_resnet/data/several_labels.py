"""Gives any set of images targets of several labels: those of its file, its one label, or the classes of its boxes."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from keras_resnet.data.image_set import ImageSet, Split


def with_several_labels(images: ImageSet) -> ImageSet:
    """Returns the same images with a target (K,) float32: the probability of each class, which is mostly 0 or 1.

    | the set has | a class has the probability |
    |---|---|
    | several labels for an image | of the file |
    | one label | 1 if it is the label |
    | boxes | 1 if an object is of the class, without those that are ignored |
    """
    if images.target == "labels":
        return images
    of_split = {id(split): _converted(split, images) for split in images.splits.values()}
    splits = {name: of_split[id(split)] for name, split in images.splits.items()}
    return replace(images, splits=splits, target="labels")


def _converted(split: Split, images: ImageSet) -> Split:
    classes, known = len(images.labels), None
    if images.target == "label" and split.labels is not None:
        known = np.eye(classes, dtype=np.uint8)[split.labels]

    def read(index):
        image, target = split.read(index)
        if images.target == "label":
            return image, tf.one_hot(target, classes)
        present = tf.boolean_mask(target["classes"], ~target["ignored"])
        return image, tf.minimum(tf.reduce_sum(tf.one_hot(present, classes), axis=0), 1.0)

    return replace(split, read=read, labels=None, probabilities=known)
