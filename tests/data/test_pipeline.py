"""Tests that order is a function of seed and step, sizes are known, and every image counts once."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.data.image_set import Split
from keras_resnet.data.pipeline import Shard, eval_batches, eval_steps, train_batches, train_indices
from keras_resnet.data.sampling import image_order, with_repeats

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


def repeated(steps, start_step=0, shard=None, size=30, batch_size=12, repeats=3):
    dataset = train_batches(
        split(size),
        labels_and_seeds,
        seed=5,
        batch_size=batch_size,
        steps=steps,
        shard=shard or Shard(0, 1, batch_size),
        start_step=start_step,
        order=with_repeats(image_order(split(size), 5), batch_size, repeats),
    )
    return labels(dataset)


def test_repeated_augmentation_has_copies_of_each_image_in_a_step():
    """12 samples are 4 images, in 3 copies 4 places apart, so that neighbors differ; 30 samples are 10 images."""
    stream = repeated(15).reshape(15, 12)
    for step in stream:
        np.testing.assert_array_equal(step.reshape(3, 4), [step[:4]] * 3)
        assert len(set(step[:4])) == 4
    distinct = stream[:, :4].reshape(-1)  # 60 images: two passes over all 30
    for epoch in distinct.reshape(2, 30):
        assert sorted(epoch) == list(range(30))
    plain = labels(train_batches(split(30), labels_and_seeds, seed=5, batch_size=4, steps=15, shard=ALONE))
    np.testing.assert_array_equal(distinct, plain)


def test_repeated_augmentation_of_a_batch_that_the_copies_do_not_divide():
    """Copies that cross the end of a batch are in the next one: three in a row in all."""
    stream = repeated(9, batch_size=8).reshape(9, 8)
    counts = {image: int((stream == image).sum()) for image in range(30)}
    assert set(counts.values()) == {3, 0}  # 72 samples of 24 images
    for step in stream:
        assert all(step[i] != step[i + 1] for i in range(0, 8, 2))


def test_repeated_augmentation_resumes_and_is_the_same_on_workers_and_replicas():
    whole = repeated(10)
    np.testing.assert_array_equal(repeated(10, start_step=4), whole[48:])
    parts = [repeated(10, shard=Shard(index, 2, 3)).reshape(10, 6) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole.reshape(10, 12))
    order = with_repeats(image_order(split(30), 5), 12, 3)
    assert train_indices(order, 12, 7) == whole.reshape(10, 12)[7].tolist()


@pytest.mark.parametrize(("batch_size", "repeats"), [(12, 3), (8, 3), (7, 2), (9, 4), (2048, 3)])
def test_places_of_repeats_are_a_permutation_of_a_batch(batch_size, repeats):
    """Against the definition in NumPy: the stream with each image in sequence, dealt to the places of a batch."""
    positions = np.arange(2 * batch_size)[-9:]
    actual = [int(with_repeats(lambda position: position, batch_size, repeats)(at)) for at in positions]
    order = np.concatenate([np.arange(first, batch_size, repeats) for first in range(repeats)])
    stream = (batch_size + order) // repeats
    count = min(9, batch_size)
    assert actual[-count:] == stream[-count:].tolist()


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
