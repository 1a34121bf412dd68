"""Tests of the multi-label task: targets of every kind of set, the loss, weights of classes, configuration."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config import load_config
from keras_resnet.config.multilabel import MultilabelConfig
from keras_resnet.data.image_set import ImageSet, Split
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.several_labels import with_several_labels
from keras_resnet.errors import ConfigError
from keras_resnet.multilabel.task import Multilabel
from keras_resnet.task import load_task

CSV = "file_name,labels,split\n" + "".join(
    f"{i}.png,{labels},{split}\n"
    for i, (labels, split) in enumerate([("a|b", "train"), ("a", "train"), ("", "train"), ("a", "train"), ("b", "val")])
)


@pytest.fixture
def task(tmp_path):
    """Returns a function that makes the task of five images; their labels are a and b."""
    (tmp_path / "labels.csv").write_text(CSV)
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(tf.io.encode_png(np.full((8, 8, 3), 40 * i, np.uint8)).numpy())

    def make(**train):
        values = {"model": {"name": "cifar_resnet8"}, "data": {"name": f"csv:{tmp_path}/labels.csv", "image_size": 8}}
        train = {"steps": 1, "batch_size": 4} | train
        return load_task(MultilabelConfig.model_validate(values | {"train": train, "eval": {"batch_size": 1}}))

    return make


LOGITS = np.array([[0.0, np.log(3)], [np.log(3), 0.0], [0.0, 0.0], [-np.log(3), 0.0]], np.float32)
# -log of the scores 1/2, 3/4 and 1/4
HALF, THREE_QUARTERS, QUARTER = np.log(2), np.log(4 / 3), np.log(4)


def losses(task, targets, weights=(1, 1, 1, 1)):
    def model(images, training):
        return tf.constant(LOGITS)

    batch = (None, tf.constant(targets, tf.float32)), tf.constant(weights, tf.float32)
    found, sums = task.loss(model, batch)
    assert float(sums["loss"]) == pytest.approx(float(tf.reduce_sum(found)))
    assert float(sums["images"]) == sum(weights)
    return found.numpy()


TARGETS = [[1, 1], [1, 0], [0, 0], [1, 0]]


def test_loss_is_the_mean_binary_cross_entropy_of_the_classes(task):
    expected = [HALF + THREE_QUARTERS, THREE_QUARTERS + HALF, HALF + HALF, QUARTER + HALF]
    np.testing.assert_allclose(losses(task(), TARGETS), np.array(expected) / 2, rtol=1e-6)
    np.testing.assert_allclose(losses(task(), TARGETS, (1, 1, 0, 1))[2], 0)
    soft = losses(task(), [[1, 0.5], *TARGETS[1:]])
    np.testing.assert_allclose(soft[0], (HALF + 0.5 * THREE_QUARTERS + 0.5 * QUARTER) / 2, rtol=1e-6)
    smooth = losses(task(label_smoothing=0.2), TARGETS)
    np.testing.assert_allclose(smooth[1], (0.9 * THREE_QUARTERS + 0.1 * QUARTER + HALF) / 2, rtol=1e-6)


def test_balanced_weights_balance_positives_and_negatives_of_each_class(task):
    weighted = task(class_weights="balanced")
    # a: 3 of 4 images, b: 1 of 4
    np.testing.assert_allclose(weighted.class_weights, [[4 / 2, 4 / 6], [4 / 6, 4 / 2]], rtol=1e-6)
    assert weighted.overview(weighted.build_model())["weights"] == "a 0.6667, b 2"
    found = losses(weighted, TARGETS)
    np.testing.assert_allclose(found[0], (2 / 3 * HALF + 2 * THREE_QUARTERS) / 2, rtol=1e-6)
    np.testing.assert_allclose(found[2], (2 * HALF + 2 / 3 * HALF) / 2, rtol=1e-6)


def test_named_weights_are_those_of_positives(task):
    weighted = task(class_weights={"b": 5})
    assert weighted.class_weights.tolist() == [[1, 1], [1, 5]]
    np.testing.assert_allclose(losses(weighted, TARGETS)[0], (HALF + 5 * THREE_QUARTERS) / 2, rtol=1e-6)
    np.testing.assert_allclose(losses(weighted, TARGETS)[2], HALF, rtol=1e-6)
    with pytest.raises(ConfigError, match=r'^train.class_weights: no class "c"'):
        losses(task(class_weights={"c": 2}), TARGETS)


def test_evaluate_returns_scores_and_unweighted_losses(task):
    def model(images, training):
        return tf.constant(LOGITS)

    batch = (None, tf.constant(TARGETS, tf.float32)), tf.constant([1.0, 1, 1, 0])
    found = task(class_weights="balanced", label_smoothing=0.2).evaluate(model, batch)
    np.testing.assert_allclose(found["scores"][:2], [[0.5, 0.75], [0.75, 0.5]], rtol=1e-6)
    assert float(found["loss"]) == pytest.approx((2 * (HALF + THREE_QUARTERS) + 2 * HALF) / 2, rel=1e-6)
    assert float(found["images"]) == 3


def test_overview_and_examples_show_the_labels(task):
    made = task()
    shown = made.overview(made.build_model())
    assert shown["classes"] == "a 3, b 2"
    assert shown["labels"] == "1.00 of a training image"
    _, captions = made.example_batch(4)
    assert sorted(captions) == ["", "a", "a", "a + b"]
    assert made.description.thresholds == (0.5, 0.5)


def test_labels_of_boxes_are_the_classes_of_objects_that_are_not_ignored():
    objects = {"classes": tf.constant([2, 0, 2, 1]), "ignored": tf.constant([False, False, False, True])}
    split = Split(1, lambda index: (tf.zeros((1, 1, 3)), objects), str)
    found = with_several_labels(ImageSet("x", ("a", "b", "c"), (1, 1, 3), {"train": split}, target="boxes"))
    assert found.target == "labels"
    assert found.split("train").read(0)[1].numpy().tolist() == [1, 0, 1]
    none = {name: value[:0] for name, value in objects.items()}
    split = Split(1, lambda index: (tf.zeros((1, 1, 3)), none), str)
    found = with_several_labels(ImageSet("x", ("a", "b"), (1, 1, 3), {"train": split, "test": split}, target="boxes"))
    assert found.split("train").read(0)[1].numpy().tolist() == [0, 0]
    assert found.split("train") is found.split("test")


def test_one_label_is_one_of_several():
    values = {"data": {"name": "digits"}, "model": {"name": "cifar_resnet8"}, "train": {"steps": 1}}
    task = Multilabel(MultilabelConfig.model_validate(values | {"eval": {"batch_size": 32}}))
    split = task.images.split("validation")
    assert split.probabilities.sum() == split.size
    targets = np.array([split.read(np.int64(i))[1].numpy() for i in range(3)])
    np.testing.assert_array_equal(targets, split.probabilities[:3])


def test_sampling_is_refused_with_several_labels(tmp_path):
    (tmp_path / "config.yaml").write_text("task: multilabel\ndata: {sampling: sqrt}\ntrain: {steps: 1}\n")
    with pytest.raises(ConfigError, match=r"config.yaml:2: data.sampling: is for images of one class each; see train"):
        load_config(str(tmp_path / "config.yaml"))


def test_boxes_of_coco_are_labels_of_a_task(tmp_path):
    """Image 0 has a cat and two dogs, image 1 nothing but a crowd of dogs, image 2 a cat."""
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations").mkdir()
    for i in range(3):
        content = tf.io.encode_png(np.full((20, 40, 3), 50 * i, np.uint8)).numpy()
        (tmp_path / "train2017" / f"{i}.png").write_bytes(content)
    images = [{"id": i, "file_name": f"{i}.png", "height": 20, "width": 40} for i in range(3)]
    found = [(0, 1, 0), (0, 2, 0), (0, 2, 0), (1, 2, 1), (2, 1, 0)]
    annotations = [
        {"id": i, "image_id": image, "category_id": category, "iscrowd": crowd, "bbox": [0, 0, 9, 9], "area": 81}
        for i, (image, category, crowd) in enumerate(found)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    file = tmp_path / "annotations" / "instances_train2017.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    held = {"validation_fraction": 0, "test_fraction": 0}
    values = {"data": {"name": f"coco:{tmp_path}", "image_size": 16, **held}, "model": {"name": "cifar_resnet8"}}
    values |= {"train": {"steps": 1, "batch_size": 3, "class_weights": "balanced"}, "eval": {"batch_size": 3}}
    task = load_task(MultilabelConfig.model_validate(values))
    images, targets = next(iter(task.eval_dataset("train", Shard(0, 1, 3))))[0]
    assert images.shape == (3, 16, 16, 3)
    assert targets.numpy().tolist() == [[1, 1], [0, 0], [1, 0]]
    with pytest.raises(
        ConfigError, match=r"^train.class_weights: balanced needs labels that are known without reading"
    ):
        task.check_training()
