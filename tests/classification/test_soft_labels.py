"""Tests of soft labels: probabilities in the columns of a CSV file are targets of training."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config import Config
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.prepare import prepare
from keras_resnet.errors import ConfigError
from keras_resnet.task import load_task

# Of three raters, the second and third image have two opinions; the last image is in the validation split.
ROWS = [("train", 1, 0), ("train", 0.75, 0.25), ("train", 0.25, 0.75), ("train", 0, 1), ("val", 0.6, 0.4)]


@pytest.fixture
def task(tmp_path):
    """Returns a function that makes the task of five images."""
    lines = ["file_name,cat,dog,split", *(f"{i}.png,{cat},{dog},{split}" for i, (split, cat, dog) in enumerate(ROWS))]
    (tmp_path / "soft.csv").write_text("\n".join(lines) + "\n")
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(tf.io.encode_png(np.full((8, 8, 3), 40 * i, np.uint8)).numpy())

    def make(**train):
        values = {"model": {"name": "cifar_resnet8"}, "data": {"name": f"csv:{tmp_path}/soft.csv", "image_size": 8}}
        train = {"steps": 5, "batch_size": 4} | train
        return load_task(Config.model_validate(values | {"train": train, "eval": {"batch_size": 1}}))

    return make


def batches(task, start=0, shard=None):
    found = list(task.train_dataset(start, shard or Shard(0, 1, 4)))
    return [
        np.concatenate([each.numpy() for each in column]) for column in zip(*(each[0] for each in found), strict=True)
    ]


def test_training_targets_are_the_probabilities_of_each_image(task):
    images, targets = batches(task())
    rows = images[:, 0, 0, 0].round().astype(int) // 40  # the image's gray level is its row
    np.testing.assert_array_equal(targets, [ROWS[row][1:] for row in rows])
    assert set(rows[:4]) == {0, 1, 2, 3}
    np.testing.assert_array_equal(batches(task(), start=3)[1], targets[12:])
    np.testing.assert_array_equal(batches(task(), shard=Shard(0, 1, 2))[1], targets)


def test_loss_of_soft_labels_is_the_expected_cross_entropy(task):
    def model(images, training):
        return tf.constant(np.log([[0.8, 0.2]] * 2), tf.float32)

    batch = (None, tf.constant([[0.75, 0.25], [0, 1.0]])), tf.ones(2)
    expected = [-0.75 * np.log(0.8) - 0.25 * np.log(0.2), -np.log(0.2)]
    np.testing.assert_allclose(task().loss(model, batch)[0], expected, rtol=1e-6)
    weighted = task(class_weights={"dog": 3})
    np.testing.assert_allclose(weighted.loss(model, batch)[0], np.multiply(expected, [1.5, 3]), rtol=1e-6)


def test_evaluation_counts_the_most_probable_class(task):
    made = task()
    ((_, labels), _) = next(iter(made.eval_dataset("validation", Shard(0, 1, 1))))
    assert labels.numpy().tolist() == [0]
    assert made.images.split("train").labels.tolist() == [0, 0, 1, 1]


def test_overview_and_examples_show_soft_labels(task):
    made = task()
    shown = made.overview(made.build_model())
    assert shown["labels"] == "soft of 2 training images; evaluations count the most probable class"
    assert sorted(made.example_batch(4)[1]) == ["cat", "cat 75% + dog 25%", "dog", "dog 75% + cat 25%"]


def test_records_of_soft_labels_are_refused(task, tmp_path):
    with pytest.raises(ConfigError, match=r"soft.csv: its records would lack the probabilities of the classes"):
        prepare(task().config.data, str(tmp_path / "records"))
