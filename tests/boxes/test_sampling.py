import numpy as np
import tensorflow as tf

from keras_resnet.boxes.matching import IGNORED, NEGATIVE, POSITIVE, match
from keras_resnet.boxes.sampling import sample


def labels_with(positives, negatives, ignored=0):
    labels = np.array([POSITIVE] * positives + [NEGATIVE] * negatives + [IGNORED] * ignored)
    return np.random.RandomState(0).permutation(labels)[None]


def drawn(labels, seed=(0, 0), count=256, fraction=0.5):
    """The labels of the boxes that are drawn, after checks of what must hold for every sample."""
    chosen = sample(labels, tf.constant([seed]), count, fraction)
    indices, positive, valid = (each.numpy()[0] for each in chosen)
    assert indices.shape == positive.shape == valid.shape == (count,)
    assert len(set(indices[valid])) == valid.sum()
    assert not indices[~valid].any()
    np.testing.assert_array_equal(positive[valid], labels[0, indices[valid]] == POSITIVE)
    assert not positive[~valid].any()
    return labels[0, indices[valid]].tolist()


def test_positives_are_at_most_their_fraction():
    assert drawn(labels_with(300, 300)) == [POSITIVE] * 128 + [NEGATIVE] * 128
    assert drawn(labels_with(300, 300), count=128, fraction=0.25) == [POSITIVE] * 32 + [NEGATIVE] * 96


def test_negatives_replace_missing_positives():
    assert drawn(labels_with(3, 600)) == [POSITIVE] * 3 + [NEGATIVE] * 253


def test_positives_do_not_replace_missing_negatives():
    assert drawn(labels_with(300, 5)) == [POSITIVE] * 128 + [NEGATIVE] * 5


def test_ignored_boxes_are_not_drawn():
    assert drawn(labels_with(2, 3, 600)) == [POSITIVE] * 2 + [NEGATIVE] * 3
    assert drawn(labels_with(0, 0, 600)) == []


def test_fewer_boxes_than_the_sample():
    assert drawn(labels_with(2, 3)) == [POSITIVE] * 2 + [NEGATIVE] * 3
    assert drawn(labels_with(5, 0), fraction=0.0) == []


def test_image_without_objects_has_256_negatives():
    """torchvision issues 1598 and 2144."""
    anchors = np.random.RandomState(0).uniform(0, 100, (900, 4))
    labels = match(anchors, np.zeros((0, 4)), positive_iou=0.7, negative_iou=(0.0, 0.3)).labels
    assert drawn(labels.numpy()[None]) == [NEGATIVE] * 256


def test_row_is_the_same_alone_and_in_a_batch():
    """A blank image, a street and a blank image."""
    labels = np.concatenate([labels_with(0, 200), labels_with(20, 180), labels_with(0, 200)])
    seeds = tf.constant([[7, 0], [7, 1], [7, 2]])
    batch = sample(labels, seeds, 16, 0.5)
    for row in range(3):
        alone = sample(labels[row : row + 1], seeds[row : row + 1], 16, 0.5)
        for one, all_ in zip(alone, batch, strict=True):
            np.testing.assert_array_equal(one[0], all_[row])
    assert batch.positive.numpy().sum(axis=1).tolist() == [0, 8, 0]


def test_sample_depends_only_on_the_seed():
    labels = np.repeat(labels_with(20, 180), 3, axis=0)
    one, same, other = sample(labels, tf.constant([[7, 1], [7, 1], [7, 2]]), 16, 0.5).indices.numpy()
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)


def test_every_box_is_drawn_equally_often():
    """3 of 6 positives and 3 of 10 negatives: 500 and 300 of 1000 times, with standard deviations of 16 and 14."""
    labels = np.repeat(labels_with(6, 10), 1000, axis=0)
    seeds = tf.stack([tf.zeros(1000, tf.int32), tf.range(1000)], axis=1)
    indices = tf.function(sample, autograph=False)(labels, seeds, 6, 0.5).indices
    times = np.bincount(np.ravel(indices), minlength=16)
    assert np.abs(times - np.where(labels[0] == POSITIVE, 500, 300)).max() < 64
