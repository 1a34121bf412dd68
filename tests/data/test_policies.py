"""TrivialAugment, AutoAugment, AugMix and timm's RandAugment: strengths by hand, draws by their frequencies."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import GOLDEN
from sklearn.datasets import load_sample_images

from keras_resnet.config import Data
from keras_resnet.config.data import AUGMENTATION_POLICIES
from keras_resnet.data import policies
from keras_resnet.data.augmentation import augment
from keras_resnet.data.policies import POLICIES, apply_policy
from keras_resnet.data.policy_tables import CIFAR10, IMAGENET

PHOTOGRAPH = load_sample_images().images[0][:64, :80]
# Every pixel holds its position: channel 0 its row, channel 1 its column.
PLACES = np.stack(np.broadcast_arrays(np.arange(40)[:, None], np.arange(40), 200), -1).astype(np.uint8)


def strengths(monkeypatch, function, *arguments):
    """Returns the keyword arguments that a function passes to `operations`, as numbers."""
    seen = {}
    monkeypatch.setattr(policies, "operations", lambda **keywords: seen.update(keywords))
    function(*arguments)
    return {name: float(value) for name, value in seen.items() if name != "fill"}


def test_policies_are_those_of_the_configuration():
    assert tuple(POLICIES) == AUGMENTATION_POLICIES


def test_trivial_augment_strengths_by_hand(monkeypatch):
    """Müller and Hutter 2021, table 2: 0.99, 32 pixels, 135 degrees, 0.01 to 1.99, 8 to 2 bits, 255 to 0."""
    numbers = functools.partial(strengths, monkeypatch, policies.trivial_operations)
    assert numbers(tf.constant(1.0), -1.0) == pytest.approx(
        {"shear": -0.99, "down": -32, "right": -32, "degrees": -135, "factor": 0.01, "bits": 2, "threshold": 0}
    )
    assert numbers(tf.constant(0.5), 1.0) == pytest.approx(
        {"shear": 0.495, "down": 16, "right": 16, "degrees": 67.5, "factor": 1.495, "bits": 5, "threshold": 127.5}
    )
    assert numbers(tf.constant(0.0), 1.0) == pytest.approx(
        {"shear": 0, "down": 0, "right": 0, "degrees": 0, "factor": 1, "bits": 8, "threshold": 255}
    )
    assert len(policies.TRIVIAL) == 14


def golden_operations():
    with np.load(GOLDEN / "trivial_augment.npz") as golden:
        return dict(golden)


@pytest.mark.parametrize("case", [name for name in golden_operations() if name != "image"])
def test_trivial_augment_operations_equal_torchvision(case):
    """PIL leaves the fill out of its interpolation at the edge of what a rotation or shear uncovers."""
    golden = golden_operations()
    name, strength, sign = case.split()
    if name.startswith("Translate"):  # torchvision's shift has the other direction
        sign = -int(sign)
    actual = policies.trivial_operations(tf.constant(float(strength)), float(sign))[name](tf.constant(golden["image"]))
    error = np.abs(actual.numpy().astype(int) - golden[case])
    if name.startswith(("Rotate", "Shear")):
        assert (error <= 1).mean() > 0.9
    else:
        exact = name.startswith("Translate") or name in ("Identity", "Equalize", "Posterize", "Solarize")
        assert error.max() <= (0 if exact else 1)


def test_auto_augment_strengths_by_hand(monkeypatch):
    """At level 9 of the authors' code: 0.27, 27 degrees, 1.72, 4 - 3 bits, 256 - 230."""
    actual = strengths(monkeypatch, policies.levels, (331, 662), 9.0, -1.0)
    assert actual == pytest.approx(
        {"shear": -0.27, "down": -135, "right": -270, "degrees": -27, "factor": 1.72, "bits": 1, "threshold": 26}
    )


def test_timm_strengths_by_hand(monkeypatch):
    """rand-m7-inc1: 0.21, 0.45 * 0.7 of the size, 21 degrees, 1 - 0.63, 4 - 2 bits, 256 - 179, 77."""
    actual = strengths(monkeypatch, policies.timm_operations, (100, 200), tf.constant(7.0), -1.0)
    numbers = {"shear": -0.21, "down": -31.5, "right": -63, "degrees": -21, "factor": 0.37, "bits": 2, "threshold": 77}
    assert actual == pytest.approx(numbers | {"addition": 77})
    assert len(policies.TIMM) == 15


def test_warp_moves_pixels_and_fills_the_outside():
    moved = policies.warp(tf.constant(PLACES), [1.0, 0.0, 5.0, 0.0, 1.0, 0.0], policies.MEAN).numpy()
    np.testing.assert_array_equal(moved[:, :35], PLACES[:, 5:])
    assert (moved[:, 36:] == (124, 116, 104)).all()
    half = policies.warp(tf.constant(PLACES), [1.0, 0.0, 0.5, 0.0, 1.0, 0.0], policies.BLACK).numpy()
    np.testing.assert_array_equal(half[:, :39, 0], PLACES[:, :39, 0])
    assert set(half[0, :39, 1] - np.arange(39)) <= {0, 1}  # between two columns, rounded to even


def test_rotate_by_a_right_angle_turns_the_image_about_its_center():
    turned = policies.rotate(tf.constant(PLACES), 90.0, policies.BLACK).numpy()
    np.testing.assert_array_equal(turned, np.rot90(PLACES, 1 if turned[0, 0, 1] == 39 else -1))


def test_contrast_blends_with_the_mean_gray():
    image = np.array([[[10, 10, 10], [30, 30, 30]]], np.uint8)
    np.testing.assert_array_equal(policies.contrast(tf.constant(image), 0.5).numpy()[..., 0], [[15, 25]])
    np.testing.assert_array_equal(policies.contrast(tf.constant(image), 2.0).numpy()[..., 0], [[0, 40]])


def test_operations_of_tensors_by_hand():
    image = tf.constant([[[0, 100, 255]]], tf.uint8)
    done = policies.operations(
        shear=0.0, down=0.0,
        right=0.0, degrees=0.0, factor=1.0, bits=tf.constant(2.0), threshold=tf.constant(100.5),
        fill=policies.BLACK, addition=tf.constant(50.0),
    )  # fmt: skip
    for name, expected in (
        ("Posterize", [0, 64, 192]),
        ("Solarize", [0, 100, 0]),
        ("SolarizeAdd", [50, 150, 255]),
        ("Invert", [255, 155, 0]),
        ("Identity", [0, 100, 255]),
    ):
        assert done[name](image).numpy().tolist() == [[expected]], name
    nothing = policies.operations(
        shear=0.0, down=0.0, right=0.0, degrees=0.0, factor=1.0, bits=0, threshold=256.0, fill=policies.BLACK
    )
    assert nothing["Posterize"](image).numpy().max() == 0
    assert nothing["Solarize"](image).numpy().tolist() == [[[0, 100, 255]]]


def test_sub_policies_equal_those_of_torchvision():
    golden = json.loads((GOLDEN / "autoaugment.json").read_text())
    for name, table in (("imagenet", IMAGENET), ("cifar10", CIFAR10)):
        assert [[list(pair) for pair in row] for row in table] == golden[name]


def drawn(policy, count, image=PHOTOGRAPH):
    """Returns the images of `count` seeds after a policy."""
    dataset = tf.data.Dataset.range(count).map(
        lambda i: policy(tf.constant(image), tf.stack([tf.constant(7, tf.int64), i])), deterministic=True
    )
    return dataset.batch(count).get_single_element().numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*POLICIES, "timm"])
def test_policy_is_a_function_of_the_seed(name):
    policy = POLICIES.get(name, functools.partial(policies.timm_rand_augment, 2, 7.0, 0.5))
    first, second = drawn(policy, 40), drawn(policy, 40)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (40, 64, 80, 3)
    assert first.dtype == np.uint8
    changed = (first != PHOTOGRAPH).any((1, 2, 3)).mean()
    assert changed > 0.5
    assert len(np.unique(first.reshape(40, -1), axis=0)) > 15


@pytest.mark.slow
def test_trivial_augment_draws_every_operation_equally(monkeypatch):
    """Each operation is replaced by a constant image; 14 of them, 1400 draws."""
    constants = {
        name: functools.partial(tf.fill, (1, 1, 3), tf.constant(i, tf.uint8)) for i, name in enumerate(policies.TRIVIAL)
    }
    choices = {name: lambda image, function=function: function() for name, function in constants.items()}
    monkeypatch.setattr(policies, "trivial_operations", lambda strength, sign: choices)
    counts = np.bincount(drawn(POLICIES["trivial_augment_wide"], 1400, PHOTOGRAPH[:1, :1])[:, 0, 0, 0])
    assert len(counts) == 14
    assert 65 < counts.min() <= counts.max() < 140


@pytest.mark.slow
def test_auto_augment_applies_operations_with_their_probabilities():
    """One sub-policy inverts with probability 0.3, then with 0.8; once in 0.3 * 0.2 + 0.7 * 0.8 of the images."""
    table = ((("Invert", 0.3, 0), ("Invert", 0.8, 0)),)
    images = drawn(functools.partial(policies.auto_augment, table), 1000)
    inverted = (images == 255 - PHOTOGRAPH).all((1, 2, 3))
    assert (inverted | (images == PHOTOGRAPH).all((1, 2, 3))).all()
    assert inverted.mean() == pytest.approx(0.62, abs=0.05)


@pytest.mark.slow
def test_timm_rand_augment_skips_half_of_the_operations(monkeypatch):
    choices = dict.fromkeys(policies.TIMM, lambda image: image + 1)
    monkeypatch.setattr(policies, "timm_operations", lambda size, magnitude, sign: choices)
    image = np.zeros((1, 1, 3), np.uint8)
    counts = drawn(functools.partial(policies.timm_rand_augment, 2, 7.0, 0.5), 1000, image)[:, 0, 0, 0]
    assert np.bincount(counts) / 1000 == pytest.approx([0.25, 0.5, 0.25], abs=0.05)


def test_augmix_of_identities_is_the_image(monkeypatch):
    """The weights of the image and the chains sum to 1."""
    monkeypatch.setattr(policies, "_augmix_step", lambda image, seed: image)
    for i in range(3):
        np.testing.assert_array_equal(
            policies.augmix(tf.constant(PHOTOGRAPH), tf.constant([1, i], tf.int64)), PHOTOGRAPH
        )


def test_apply_policy_keeps_gray_images_and_passes_rgb_bytes():
    def policy(image, seed):
        assert image.shape == (5, 5, 3)
        assert image.dtype == tf.uint8
        return image

    image = tf.fill((5, 5, 1), 7.6)
    np.testing.assert_array_equal(apply_policy(policy, image, tf.constant([1, 2])), tf.fill((5, 5, 1), 8.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", AUGMENTATION_POLICIES)
def test_augment_applies_the_configured_policy(name):
    seed = tf.constant([1, 5], tf.int64)
    plain = augment(tf.constant(PHOTOGRAPH), (64, 80), 3, Data(), seed).numpy()
    np.testing.assert_array_equal(plain, PHOTOGRAPH)
    moved = [augment(tf.constant(PHOTOGRAPH), (64, 80), 3, Data(auto_augment=name), seed + i).numpy() for i in range(3)]
    assert any((each != plain).any() for each in moved)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"auto_augment": "augmix", "randaugment_num_ops": 2}, "is in place of data.randaugment_num_ops"),
        ({"randaugment_magnitude_std": 0.5}, "needs data.randaugment_operations: timm"),
    ],
)
def test_contradicting_options_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Data(**values)
