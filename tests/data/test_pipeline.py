"""Tests that order is a function of seed and step, sizes are known, and every image counts once."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.data.image_set import Split
from keras_resnet.data.pipeline import Shard, eval_batches, eval_steps, train_batches

SIZE = 10


def split(size=SIZE):
    return Split(size, lambda index: (tf.reshape(index, (1, 1, 1)), tf.cast(index, tf.int32)), str)


def labels_and_seeds(image, label, seed):
    return label, seed


ALONE = Shard(0, 1, 4)


def train(start_step=0, shard=ALONE, seed=5, steps=20, size=SIZE):
    return train_batches(
        split(size), labels_and_seeds, seed=seed, batch_size=4, steps=steps, shard=shard, start_step=start_step
    )


def labels(dataset):
    return np.concatenate([label.numpy() for (label, _), _ in dataset])


def test_train_batches_each_epoch_is_a_new_permutation():
    stream = labels(train(steps=25))  # 100 samples, 10 epochs
    epochs = stream.reshape(-1, SIZE)
    for epoch in epochs:
        assert sorted(epoch) == list(range(SIZE))
    assert len({tuple(epoch) for epoch in epochs}) == 10


def test_train_batches_start_step_continues_stream():
    whole = list(train())
    rest = list(train(start_step=13))
    assert len(rest) == 7
    for ((label, seed), _), ((other_label, other_seed), _) in zip(whole[13:], rest, strict=True):
        np.testing.assert_array_equal(label, other_label)
        np.testing.assert_array_equal(seed, other_seed)


def test_train_batches_workers_and_replicas_share_global_batches():
    whole = labels(train()).reshape(20, 4)
    workers = [labels(train(shard=Shard(index, 2, 2))).reshape(20, 2) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(workers, axis=1), whole)
    replicas = labels(train(shard=Shard(0, 1, 2))).reshape(20, 4)
    np.testing.assert_array_equal(replicas, whole)


def test_train_batches_seeds_are_unique_per_sample():
    seeds = np.concatenate([seed.numpy() for (_, seed), _ in train()])
    assert len(np.unique(seeds, axis=0)) == 80
    assert not np.array_equal(labels(train(seed=5)), labels(train(seed=6)))


@pytest.mark.parametrize("replica_batch", [1, 2, 4])
def test_train_batches_cardinality(replica_batch):
    dataset = train(shard=Shard(0, 1, replica_batch))
    assert int(dataset.cardinality()) == 20 * 4 // replica_batch == len(list(dataset))


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 31])
@pytest.mark.parametrize("workers", [1, 2])
def test_eval_batches_cover_every_image_once(size, workers):
    seen = []
    for index in range(workers):
        shard = Shard(index, workers, 4 // workers)
        dataset = eval_batches(split(size), lambda image, label: label, batch_size=4, shard=shard)
        assert int(dataset.cardinality()) == eval_steps(split(size), 4) == -(-size // 4)
        for label, weight in dataset:
            assert len(label) == 4 // workers  # full batches: every replica has work
            seen += [int(each) for each, counts in zip(label, weight, strict=True) if counts]
    assert sorted(seen) == list(range(size))
