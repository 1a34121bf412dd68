"""Tests of data.sampling: shares of classes, every image of a class in turn, functions of seed and position."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config import Config, load_config
from keras_resnet.config.detection import DetectionConfig
from keras_resnet.data.image_set import Split
from keras_resnet.data.pipeline import Shard, train_batches, train_indices
from keras_resnet.data.sampling import image_order, rounded
from keras_resnet.errors import ConfigError

LABELS = np.array([0] * 16 + [2] * 4 + [3], np.int32)  # 21 images; class 1 has none


def split(labels=LABELS):
    numbers = tf.constant(labels, tf.int32)
    size = len(labels)
    return Split(size, lambda index: (tf.cast(index, tf.int32), tf.gather(numbers, index)), str, labels)


def indices(sampling, seed=5, first=0, count=21):
    order = image_order(split(), seed, sampling)
    return np.array([int(order(tf.constant(position, tf.int64))) for position in range(first, first + count)])


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ("natural", {0: 16, 2: 4, 3: 1}),
        ("balanced", {0: 7, 2: 7, 3: 7}),
        ("sqrt", {0: 12, 2: 6, 3: 3}),  # roots 4, 2 and 1: 21 * 4/7, 21 * 2/7, 21 * 1/7
    ],
)
def test_sampling_has_its_number_of_each_class_in_every_epoch(sampling, expected):
    epochs = [Counter(LABELS[indices(sampling, first=21 * epoch)].tolist()) for epoch in range(3)]
    assert epochs == [expected] * 3


def test_balanced_sampling_shows_all_images_of_a_class_before_it_repeats_one():
    seen = indices("balanced", count=21 * 8)
    of_two = [index for index in seen.tolist() if LABELS[index] == 2]  # 4 images, 56 samples
    of_zero = [index for index in seen.tolist() if LABELS[index] == 0]  # 16 images, 56 samples
    assert Counter(of_two) == dict.fromkeys(range(16, 20), 14)
    assert sorted(Counter(of_zero).values()) == [3] * 8 + [4] * 8
    assert [index for index in seen if LABELS[index] == 3] == [20] * 56


def test_balanced_sampling_is_a_function_of_seed_and_position():
    whole = indices("balanced", count=63)
    np.testing.assert_array_equal(indices("balanced", first=30, count=33), whole[30:])
    assert (whole[:21] != whole[21:42]).any()
    assert (indices("balanced", seed=6, count=63) != whole).any()


def batches(start_step=0, shard=None):
    chosen = train_batches(
        split(),
        lambda image, label, seed: image,
        seed=5,
        batch_size=6,
        steps=10,
        shard=shard or Shard(0, 1, 6),
        start_step=start_step,
        order=image_order(split(), 5, "balanced"),
    )
    return np.concatenate([image.numpy() for image, _ in chosen])


def test_balanced_batches_are_the_same_after_a_resume_and_on_two_replicas_or_workers():
    whole = batches()
    np.testing.assert_array_equal(whole, indices("balanced", count=60))
    np.testing.assert_array_equal(batches(start_step=7), whole[42:])
    np.testing.assert_array_equal(batches(shard=Shard(0, 1, 3)), whole)
    workers = [batches(shard=Shard(index, 2, 3)).reshape(10, 3) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(workers, axis=1).ravel(), whole)
    assert train_indices(image_order(split(), 5, "balanced"), 6, 4) == whole[24:30].tolist()


def test_rounded_keeps_the_sum_and_rounds_the_largest_remainders_up():
    assert rounded(np.array([2.5, 1.25, 3.25])).tolist() == [3, 1, 3]
    assert rounded(np.array([7.0, 7.0, 7.0])).tolist() == [7, 7, 7]
    assert rounded(np.array([1 / 3] * 3)).tolist() == [1, 0, 0]


def test_sampling_of_unknown_labels_is_refused():
    with pytest.raises(ConfigError, match=r"^data.sampling: sqrt needs labels that are known without reading"):
        image_order(Split(3, lambda index: index, str), 0, "sqrt")


def test_sampling_and_class_weights_are_refused_for_boxes(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("task: detection\ndata: {name: scenes, sampling: sqrt}\ntrain: {steps: 1}\n")
    with pytest.raises(ConfigError, match=r"config.yaml:2: data.sampling: is for images of one class each"):
        load_config(str(path))
    path.write_text("task: detection\ndata: {name: scenes}\ntrain: {steps: 1, class_weights: balanced}\n")
    with pytest.raises(
        ConfigError, match=r"config.yaml:3: train.class_weights: is for images with labels, not for the"
    ):
        load_config(str(path))


def test_labels_options_at_default_keep_the_digests():
    for kind in (Config, DetectionConfig):
        config = kind.model_validate({"train": {"steps": 1}})
        more = kind.model_validate({"train": {"steps": 1, "class_weights": None}, "data": {"sampling": "natural"}})
        assert config.digest() == more.digest()
    sampled = Config.model_validate({"train": {"steps": 1}, "data": {"sampling": "balanced"}})
    weighted = Config.model_validate({"train": {"steps": 1, "class_weights": "balanced"}})
    plain = Config.model_validate({"train": {"steps": 1}})
    assert len({plain.digest(), sampled.digest(), weighted.digest()}) == 3
