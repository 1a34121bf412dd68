"""Painted scenes and digits: functions of split and index, with boxes, masks and ignored digits that agree."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data import scenes
from keras_resnet.data.sources import load_image_set


@pytest.fixture(scope="module")
def painted():
    """Returns the first 40 training scenes."""
    return [scenes.paint_scene("train", index) for index in range(40)]


def test_scene_is_a_function_of_split_and_index(painted):
    again = scenes.paint_scene("train", 7)
    np.testing.assert_array_equal(again.image, painted[7].image)
    np.testing.assert_array_equal(again.boxes, painted[7].boxes)
    assert not np.array_equal(scenes.paint_scene("test", 7).image, painted[7].image)
    assert not np.array_equal(painted[8].image, painted[7].image)


def test_boxes_enclose_the_visible_masks(painted):
    objects = 0
    for scene in painted:
        assert scene.image.shape == (128, 128, 3)
        assert scene.image.dtype == np.uint8
        assert scene.masks.sum(0).max(initial=0) <= 1  # a pixel shows one digit
        for (top, left, bottom, right), mask in zip(scene.boxes.astype(int), scene.masks, strict=True):
            inside = mask[top:bottom, left:right]
            assert inside.sum() == mask.sum()
            assert inside.any(0)[[0, -1]].all()
            assert inside.any(1)[[0, -1]].all()
            objects += 1
    assert objects == sum(len(scene.labels) for scene in painted)
    assert 2.5 < objects / len(painted) < 4


def test_digit_under_another_loses_its_pixels_and_is_ignored(painted):
    """Ignored digits are mostly covered, so they are among the smallest visible parts, and others lie in their box."""
    ignored = [(scene, i) for scene in painted for i in np.flatnonzero(scene.ignored)]
    assert ignored
    for scene, i in ignored:
        top, left, bottom, right = scene.boxes[i].astype(int)
        assert scene.masks[i, top:bottom, left:right].mean() < 0.9
    shares = [len(scene.labels) and scene.ignored.mean() for scene in painted]
    assert 0 < np.mean(shares) < 0.2


def test_scene_of_every_class(painted):
    assert set(np.concatenate([scene.labels for scene in painted])) == set(range(10))


def test_shuffled_digit_keeps_at_most_one_quadrant():
    pixels = np.arange(64).reshape(8, 8)
    for seed in range(50):
        shuffled = scenes._shuffled(np.random.RandomState(seed), pixels)
        assert sorted(shuffled.ravel()) == list(range(64))
        same = [(shuffled[a : a + 4, b : b + 4] == pixels[a : a + 4, b : b + 4]).all() for a in (0, 4) for b in (0, 4)]
        assert sum(same) <= 1


def test_scene_digits_are_painted_when_read(monkeypatch):
    monkeypatch.setattr(scenes, "DIGITS", {"train": 12, "validation": 4, "test": 4})
    read = []
    paint = scenes.paint_digit
    monkeypatch.setattr(scenes, "paint_digit", lambda split, index: read.append((split, index)) or paint(split, index))
    images = load_image_set(Data(name="scene_digits"))
    assert (images.labels, images.image_shape, read) == (tuple("0123456789"), (32, 32, 3), [])
    image, label = images.split("test").read(2)
    assert read == [("test", index) for index in range(4)]
    expected, digit = paint("test", 2)
    np.testing.assert_array_equal(image, expected)
    assert int(label) == digit
    assert images.split("test").source(2) == "scene_digits test image 2"


@pytest.mark.parametrize("name", ["scene_digits", "scenes"])
def test_painted_images_are_read_in_several_graphs(monkeypatch, name):
    """The first graph that reads does not own the images."""
    monkeypatch.setattr(scenes, "DIGITS", {"train": 3, "validation": 3, "test": 3})
    monkeypatch.setattr(scenes, "SCENES", {"train": 3, "validation": 3, "test": 3})
    split = load_image_set(Data(name=name), None).split("train")
    found = [[image.numpy() for image, _ in tf.data.Dataset.range(3).map(split.read)] for _ in range(2)]
    np.testing.assert_array_equal(*found)


def test_objects_of_scenes_are_those_of_each_image(monkeypatch):
    monkeypatch.setattr(scenes, "SCENES", {"train": 5, "validation": 3, "test": 3})
    split = load_image_set(Data(name="scenes"), "boxes").split("train")
    for index in range(5):
        image, objects = split.read(tf.constant(index, tf.int64))
        scene = scenes.paint_scene("train", index)
        np.testing.assert_array_equal(image, scene.image)
        np.testing.assert_array_equal(objects["boxes"], scene.boxes)
        np.testing.assert_array_equal(objects["classes"], scene.labels)
        np.testing.assert_array_equal(objects["ignored"], scene.ignored)
        np.testing.assert_array_equal(objects["areas"], scene.masks.sum((1, 2)))


def test_scene_object_fills_its_box():
    """The box is that of the digit's pixels, which nothing covers."""
    sides = []
    for index in range(20):
        image, label, (top, left, bottom, right) = scenes.paint_object("train", index)
        again = scenes.paint_object("train", index)
        np.testing.assert_array_equal(image, again[0])
        assert (image.shape, image.dtype) == ((80, 80, 3), np.uint8)
        assert (label, 0 <= top < bottom <= 80, 0 <= left < right <= 80) == (again[1], True, True)
        sides.append(bottom - top)
    assert 28 <= min(sides) < max(sides) <= 80
    assert not np.array_equal(scenes.paint_object("test", 0)[0], scenes.paint_object("train", 0)[0])


def test_scene_objects_are_read_with_their_boxes(monkeypatch):
    monkeypatch.setattr(scenes, "OBJECTS", {"train": 3, "validation": 2, "test": 2})
    split = load_image_set(Data(name="scene_objects"), "boxes").split("validation")
    for index in range(2):
        image, objects = split.read(tf.constant(index, tf.int64))
        expected, label, box = scenes.paint_object("validation", index)
        np.testing.assert_array_equal(image, expected)
        assert objects["boxes"].numpy().tolist() == [list(box)]
        assert objects["classes"].numpy().tolist() == [label]
    assert (split.size, split.max_objects) == (2, 1)
    assert split.source(1) == "scene_objects validation image 1"
