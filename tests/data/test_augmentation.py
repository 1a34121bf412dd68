"""Tests every augmentation against its definition; all are functions of the seed alone."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from keras_resnet.config import Data
from keras_resnet.data.augmentation import augment, draw_mix, mix_pairs, mix_shares
from keras_resnet.data.randaugment import operations, rand_augment
from keras_resnet.data.transforms import (
    random_color,
    random_erasing,
    random_resized_crop,
    random_scale_crop,
)

PHOTOGRAPH = load_sample_images().images[0][:300, :400]
# Every pixel holds its position: channel 0 its row, channel 1 its column.
PLACES = np.stack(np.broadcast_arrays(np.arange(120)[:, None], np.arange(200), 0), -1).astype(np.uint8)


def drawn(function, count):
    """Returns function(seed) for `count` seeds, stacked."""
    dataset = tf.data.Dataset.range(count).map(lambda i: function(tf.stack([tf.constant(7, tf.int64), i])))
    return dataset.batch(count).get_single_element().numpy()


@pytest.mark.slow
def test_random_scale_crop_sizes_and_positions():
    """The shorter side (120) becomes 60 to 90 and the crop is 30, which covers 40 to 60 original pixels, anywhere."""
    sides, tops, lefts = [], [], []
    for crop in drawn(lambda seed: random_scale_crop(tf.constant(PLACES), 30, (60, 90), seed, 3), 300):
        assert crop.shape == (30, 30, 3)
        step = crop[1, 0, 0] - crop[0, 0, 0] if crop[2, 0, 0] > crop[1, 0, 0] else 0
        sides.append(round((crop[-1, 0, 0] - crop[0, 0, 0]) * 30 / 29))
        assert abs((crop[0, -1, 1] - crop[0, 0, 1]) * 30 / 29 - sides[-1]) < 1.5, "a square"
        assert step > 0
        tops.append(crop[0, 0, 0])
        lefts.append(crop[0, 0, 1])
    assert min(sides) in (39, 40, 41)
    assert max(sides) in (59, 60, 61)
    assert min(tops) < 5 < 50 < max(tops)
    assert min(lefts) < 5 < 130 < max(lefts)


def test_random_resized_crop_areas_and_aspect_ratios():
    shares, ratios = [], []
    for crop in drawn(lambda seed: random_resized_crop(tf.constant(PLACES), 32, (0.2, 0.6), seed, 3), 300):
        height, width = ((crop[-1, 0, 0] - crop[0, 0, 0]) * 32 / 31, (crop[0, -1, 1] - crop[0, 0, 1]) * 32 / 31)
        shares.append(height * width / (120 * 200))
        ratios.append(width / height)
    assert 0.17 < min(shares) < 0.25
    assert 0.5 < max(shares) < 0.65
    assert 0.7 < min(ratios) < 0.85
    assert 1.2 < max(ratios) < 1.42


def test_random_color_is_uniform_with_expected_covariance():
    image = tf.zeros((4, 5, 3))
    added = drawn(lambda seed: random_color(image, seed), 4000)
    assert np.ptp(added, axis=(1, 2)).max() < 1e-4  # the same for every pixel
    colors = added[:, 0, 0]
    components = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    expected = components @ np.diag((25.5 * np.array([0.2175, 0.0188, 0.0045])) ** 2) @ components.T
    np.testing.assert_allclose(np.cov(colors.T), expected, rtol=0.1, atol=0.1)
    assert np.abs(colors.mean(0)).max() < 0.3


@pytest.mark.slow
def test_random_erasing_frequency_and_area():
    image = tf.fill((40, 50, 3), -1.0)  # noise is never negative
    erased = drawn(lambda seed: random_erasing(image, 0.25, seed), 2000) >= 0
    assert (erased == erased[..., :1]).all()
    shares = erased[..., 0].mean((1, 2))
    assert 0.21 < (shares > 0).mean() < 0.29
    assert 0.01 < shares[shares > 0].min() < 0.04
    assert 0.25 < shares.max() <= 0.34
    for mask in erased[shares > 0][:20, ..., 0]:  # rectangles
        assert mask.sum() == mask.any(0).sum() * mask.any(1).sum()


def test_random_erasing_with_a_color():
    color = (1.0, 2.0, 3.0)
    (image,) = drawn(lambda seed: random_erasing(tf.fill((20, 20, 3), -1.0), 1.0, seed, color), 1)
    erased = (image >= 0).all(-1)
    assert 0.01 < erased.mean() < 0.35
    assert (image[erased] == color).all()


# A photograph, low contrast, a constant image, and noise.
IMAGES = [PHOTOGRAPH[:224, :224], PHOTOGRAPH[:64, :64] // 8 + 100, np.full((32, 32, 3), 77, np.uint8)]
IMAGES.append(np.random.RandomState(0).randint(0, 256, (96, 96, 3)).astype(np.uint8))


@pytest.mark.sampled("dull-0.0", "photograph-5.0", "flat-10.0", "noise-3.0")
@pytest.mark.parametrize("magnitude", [0.0, 3.0, 5.0, 10.0])
@pytest.mark.parametrize("image", IMAGES, ids=["photograph", "dull", "flat", "noise"])
def test_randaugment_operations_equal_tf_models_official(image, magnitude):
    from official.vision.ops import augment as official  # takes seconds

    size, level = len(image), magnitude / 10
    ours = operations(size, magnitude, tf.constant([1, 2], tf.int64))
    assert set(ours) == set(official.RandAugment().available_ops)
    sides = [
        {
            "Rotate": official.wrapped_rotate(image, 30 * level * sign, [128] * 3),
            "ShearX": official.shear_x(image, 0.3 * level * sign, [128] * 3),
            "ShearY": official.shear_y(image, 0.3 * level * sign, [128] * 3),
            "TranslateX": official.translate_x(image, size / 224 * 100 * level * sign, [128] * 3),
            "TranslateY": official.translate_y(image, size / 224 * 100 * level * sign, [128] * 3),
        }
        for sign in (1, -1)
    ]
    for name in sides[0]:  # the sign is drawn
        actual = ours[name](tf.constant(image)).numpy()
        assert any((actual == side[name].numpy()).all() for side in sides), name
    levels = official.level_to_arg(40.0, 100.0)
    for name in set(ours) - set(sides[0]) - {"Cutout"}:
        expected = official.NAME_TO_FUNC[name](tf.constant(image), *levels[name](magnitude))
        np.testing.assert_array_equal(ours[name](tf.constant(image)), expected, err_msg=name)


def test_randaugment_cutout_is_gray():
    ours = operations(224, 5.0, tf.constant([1, 2], tf.int64))
    gray = (ours["Cutout"](tf.constant(PHOTOGRAPH[:224, :224])).numpy() == 128).all(-1)
    assert 20 * 20 <= gray.sum() <= 45 * 45


def test_randaugment_keeps_gray_image_shape():
    image = tf.constant(PHOTOGRAPH[:64, :64, :1])
    assert rand_augment(image, 2, 5.0, tf.constant([1, 2], tf.int64)).shape == (64, 64, 1)


EVERYTHING = Data(
    crop="random_resized",
    horizontal_flip=True,
    pca_lighting=True,
    randaugment_num_ops=2,
    random_erasing=0.5,
    random_crop_padding=2,
    mixup=0.2,
    cutmix=1.0,
)


@pytest.mark.slow
def test_augment_is_deterministic_across_thread_counts():
    def batches(parallel):
        dataset = tf.data.Dataset.range(12).map(
            lambda i: augment(tf.constant(PHOTOGRAPH), 48, 3, EVERYTHING, tf.stack([tf.constant(3, tf.int64), i])),
            num_parallel_calls=parallel,
        )
        return np.stack(list(dataset.as_numpy_iterator()))

    one, many = batches(1), batches(8)
    np.testing.assert_array_equal(one, many)
    assert len(np.unique(one.reshape(12, -1), axis=0)) == 12
    assert np.isfinite(one).all()


def shares(mixup, cutmix, count=400):
    return drawn(lambda seed: draw_mix(16, mixup, cutmix, seed), count)[..., 0]


def test_mixup_share_is_uniform_and_beta_distributed():
    kept = shares(0.4, 0.0)
    assert np.ptp(kept, axis=(1, 2)).max() == 0
    amounts = kept[:, 0, 0]
    # Beta(0.4, 0.4): mean 1/2, variance 1 / (4 (2 alpha + 1))
    assert amounts.mean() == pytest.approx(0.5, abs=0.05)
    assert amounts.var() == pytest.approx(1 / (4 * 1.8), abs=0.02)


def test_cutmix_mask_is_a_box():
    kept = shares(0.0, 1.0)
    assert set(np.unique(kept)) == {0.0, 1.0}
    for mask in 1 - kept[:50]:
        assert mask.sum() == mask.any(0).sum() * mask.any(1).sum()
    both = shares(0.4, 1.0)
    binary = np.isin(both, (0, 1)).all((1, 2))
    assert 0.4 < binary.mean() < 0.65


def test_mix_pairs_uses_share_of_even_image():
    random = np.random.RandomState(0)
    images = random.rand(6, 4, 4, 3).astype(np.float32)
    targets = np.eye(5, dtype=np.float32)[[0, 1, 2, 3, 4, 4]]
    kept = random.rand(6, 4, 4, 1).astype(np.float32)
    weights = np.array([1, 1, 1, 1, 1, 0], np.float32)
    mixed, labels = (each.numpy() for each in mix_pairs(images, targets, weights, kept))
    for i, j in ((0, 1), (1, 0), (2, 3), (3, 2)):
        share = kept[i - i % 2]
        np.testing.assert_allclose(mixed[i], share * images[i] + (1 - share) * images[j], rtol=1e-5)
        mean = share.mean()
        np.testing.assert_allclose(labels[i], mean * targets[i] + (1 - mean) * targets[j], rtol=1e-5)
    np.testing.assert_array_equal(mixed[4], images[4])  # its neighbor could not be read
    np.testing.assert_array_equal(labels[4], targets[4])


def test_mix_pairs_by_sample_uses_the_share_of_each_image():
    random = np.random.RandomState(0)
    images = random.rand(4, 2, 2, 3).astype(np.float32)
    targets = np.eye(4, dtype=np.float32)
    kept = np.broadcast_to(np.float32([0.25, 0.5, 1.0, 0.0])[:, None, None, None], (4, 2, 2, 1))
    mixed, labels = (each.numpy() for each in mix_pairs(images, targets, np.ones(4, np.float32), kept, by_sample=True))
    np.testing.assert_allclose(mixed[0], 0.25 * images[0] + 0.75 * images[1], rtol=1e-5)
    np.testing.assert_allclose(mixed[1], 0.5 * images[1] + 0.5 * images[0], rtol=1e-5)
    np.testing.assert_array_equal(mixed[2:], images[[2, 2]])
    np.testing.assert_allclose(labels, [[0.25, 0.75, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])


@pytest.mark.parametrize("mixing", ["pair", "sample", "batch"])
def test_mix_shares_are_one_per_step_if_mixing_is_by_batch(mixing):
    """Twelve samples are three steps of four."""
    data = Data(mixup=1.0, mixing=mixing)
    kept = drawn(lambda seed: mix_shares(8, data, seed, 4), 12).reshape(3, 4, -1)
    same = [len(np.unique(step, axis=0)) for step in kept]
    assert same == ([1, 1, 1] if mixing == "batch" else [4, 4, 4])
    assert len(np.unique(kept[:, 0], axis=0)) == 3
