"""Objects of another image are pasted through their masks: pixels, boxes, masks, areas; the draws are stateless."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from keras_resnet.config import load_config
from keras_resnet.data import pipeline, scenes
from keras_resnet.data.object_masks import SIDE, crop_masks, union_of_masks
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.run_lengths import encode
from keras_resnet.detection import copy_paste
from keras_resnet.detection.transforms import augmented
from keras_resnet.errors import ConfigError
from keras_resnet.task import load_task

RECIPE = str(ROOT / "configs/detection/scenes_mask.yaml")
SIZE = 2 * SIDE  # of images here: a mask of a box of SIDE pixels has a cell for each pixel
SEED = tf.constant([0, 3], tf.int64)


@pytest.fixture(scope="module")
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 12, "validation": 2, "test": 2})
        yield


def mask_of(*boxes):
    """Returns a mask (SIZE, SIZE) that is true in the boxes."""
    mask = np.zeros((SIZE, SIZE), bool)
    for y1, x1, y2, x2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


def objects_of(*rows):
    """rows (box, mask (SIZE, SIZE)) -> objects as a data set has them; the first is of class 1, the next of 2, ..."""
    boxes, masks = zip(*rows, strict=True)
    return {
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.range(1, len(rows) + 1),
        "ignored": tf.zeros(len(rows), tf.bool),
        "areas": tf.constant([mask.sum() for mask in masks], tf.float32),
        "masks": tf.constant([encode(mask) for mask in masks]),
    }


def fitted(image, objects):
    """Returns the image and its objects as they are in the detector's input; their sizes are equal."""
    objects = objects | {"masks": crop_masks(objects["masks"], objects["boxes"], tf.shape(image)[:2])}
    return augmented(image, objects, SIZE, (0.0,) * 3, (1.0, 1.0), False, SEED)


def numbers(objects):
    return {name: value.numpy() for name, value in objects.items()}


@pytest.fixture
def all_chosen(monkeypatch):
    monkeypatch.setattr(copy_paste, "_CHOSEN", 2.0)


def test_pasted_object_by_hand(all_chosen):
    """An L of class 1 covers the right half of the first object and all of the second; nothing covers the third.

    The first has 56 x 56 pixels, of which 56 x 28 remain; the bottom of the L leaves the rows from 100 on to the third.
    """
    first, second, third = (0, 0, 56, 56), (4, 60, 32, 88), (100, 0, 112, 56)
    image = tf.fill((SIZE, SIZE, 3), tf.constant(10, tf.uint8))
    image, objects = fitted(image, objects_of(*((box, mask_of(box)) for box in (first, second, third))))
    bent = mask_of((0, 28, 56, 90), (56, 80, 99, 90))
    others, union = copy_paste.chosen(objects_of(((0, 28, 99, 90), bent)), (SIZE, SIZE), SEED)
    union, _ = fitted(union, others)
    other, others = fitted(tf.fill((SIZE, SIZE, 3), tf.constant(200, tf.uint8)), others)
    image, objects = copy_paste.pasted(image, objects, other, others, union)
    found = numbers(objects)
    np.testing.assert_array_equal(image, np.where(bent[..., None], 200, 10) * np.ones(3))
    assert found["classes"].tolist() == [1, 3, 1]
    assert found["boxes"].tolist() == [[0, 0, 56, 28], [*third], [0, 28, 99, 90]]
    assert found["areas"].tolist() == [56 * 28, 12 * 56, bent.sum()]
    assert not found["ignored"].any()
    expected = np.ones((SIDE, SIDE))
    expected[:, 28:] = 0
    np.testing.assert_array_equal(found["masks"][0], expected)
    assert found["mask_boxes"][0].tolist() == [*first]
    assert found["masks"][1].all()
    np.testing.assert_array_equal(found["masks"][2], numbers(others)["masks"][0])


def covered_by(box, object_box=(0, 0, 56, 56), mask=None):
    """Returns the object, with a mask that fills its box, after `box` is covered."""
    _, objects = fitted(
        tf.zeros((SIZE, SIZE, 3), tf.uint8), objects_of((object_box, mask_of(object_box) if mask is None else mask))
    )
    return numbers(copy_paste.visible(objects, tf.constant(mask_of(box))))


def test_box_is_that_of_what_remains_visible():
    """A hole and a corner leave the box as it is; the rest of an L has the box of its other stroke."""
    assert covered_by((20, 20, 40, 40))["boxes"].tolist() == [[0, 0, 56, 56]]
    assert covered_by((0, 0, 30, 30))["areas"].tolist() == [56 * 56 - 30 * 30]
    bent = mask_of((0, 0, 56, 10), (46, 0, 56, 56))
    found = covered_by((0, 0, 46, 10), mask=bent)
    assert found["boxes"].tolist() == [[46, 0, 56, 56]]
    assert found["areas"].tolist() == [10 * 56]


@pytest.mark.parametrize(("rows", "ignored"), [(49, [False]), (51, [True]), (56, [])])
def test_object_with_little_left_is_ignored_or_left_out(rows, ignored):
    """Of 56 rows, 7 are more than a tenth, 5 are less."""
    assert covered_by((0, 0, rows, 56))["ignored"].tolist() == ignored


def test_visible_part_counts_cells_in_the_image_alone():
    """28 of 56 columns have their centers in the image, at 0 to 27; the first cell and the box begin at -0.5 and 0."""
    mask_boxes, boxes = tf.constant([[0.0, -28.5, 56, 27.5]]), tf.constant([[0.0, 0, 56, 27.5]])
    objects = {"boxes": boxes, "mask_boxes": mask_boxes, "classes": tf.constant([1]), "areas": tf.constant([100.0])}
    objects |= {"ignored": tf.constant([False]), "masks": tf.ones((1, SIDE, SIDE), tf.uint8)}

    def found(box):
        return numbers(copy_paste.visible(objects, tf.constant(mask_of(box))))

    assert found((0, 0, 28, 112))["boxes"].tolist() == [[28, 0, 56, 27.5]]
    assert found((0, 0, 28, 112))["areas"].tolist() == [50]
    assert found((0, 14, 56, 112))["boxes"].tolist() == [[0, 0, 56, 13.5]]
    assert found((0, 14, 56, 112))["areas"].tolist() == [50]
    assert found((0, 0, 56, 28))["boxes"].shape == (0, 4)


def test_union_of_masks():
    one, two = mask_of((0, 0, 3, 9)), mask_of((2, 5, 8, 7))
    contents = tf.constant([encode(one[:40]), encode(two[:40])])
    np.testing.assert_array_equal(union_of_masks(contents, (40, SIZE)), (one | two)[:40])
    assert not union_of_masks(tf.constant([], tf.string), (4, 6)).numpy().any()


def test_about_half_of_the_objects_are_chosen_and_none_to_be_ignored():
    objects = objects_of(*[((0, 0, 9, 9), mask_of((0, 0, 9, 9)))] * 6)
    objects["ignored"] = tf.constant([False] * 5 + [True])
    counts = []
    chosen = tf.function(copy_paste.chosen, autograph=False)
    for seed in range(24):
        found, union = chosen(objects, (SIZE, SIZE), tf.constant([seed, 1], tf.int64))
        assert 6 not in found["classes"].numpy()
        assert union.numpy().any() == (len(found["classes"]) > 0)
        counts.append(len(found["classes"]))
    assert 1.8 < np.mean(counts) < 3.2


def test_draws_are_functions_of_the_seed_with_the_probability():
    drawn = [copy_paste.draw(0.25, 10, tf.constant([1, position], tf.int64)) for position in range(200)]
    assert 30 < sum(bool(each.pastes) for each in drawn) < 70
    assert {int(each.index) for each in drawn} == {*range(10)}
    again = copy_paste.draw(0.25, 10, tf.constant([1, 7], tf.int64))
    assert [int(again.index), bool(again.pastes)] == [int(drawn[7].index), bool(drawn[7].pastes)]


def task_of(*assignments):
    return load_task(load_config(RECIPE, ["train.steps=4", "train.batch_size=4", "train.warmup_steps=0", *assignments]))


def test_copy_paste_without_masks_or_for_labels_is_one_line():
    with pytest.raises(ConfigError, match=r"data\.copy_paste: pastes objects through their masks; set detector\.masks"):
        load_config(str(ROOT / "configs/detection/scenes.yaml"), ["data.copy_paste=0.5"])
    with pytest.raises(ConfigError, match=r"data\.copy_paste: expected a number >= 0 and <= 1, got 2"):
        load_config(RECIPE, ["data.copy_paste=2"])
    with pytest.raises(ConfigError, match=r"data\.copy_paste: unknown key"):
        load_config(str(ROOT / "configs/digits/resnet20.yaml"), ["data.copy_paste=0.5"])


def test_unreadable_pasted_image_is_named(few_scenes, monkeypatch):
    monkeypatch.setattr(pipeline, "unreadable", lambda split, indices: indices)
    own = task_of().train_image_errors(1)
    assert len(own) == 4
    both = task_of("data.copy_paste=1").train_image_errors(1)
    draws = [copy_paste.draw(1, 12, tf.constant([0, position], tf.int64)) for position in range(4, 8)]
    assert both == own + [int(each.index) for each in draws]


def batches(task, step=0, shard=None):
    return [numpy_of(each) for each in task.train_dataset(step, shard or Shard(0, 1, 4))]


def numpy_of(batch):
    return tf.nest.map_structure(lambda value: value.numpy(), batch)


def check_equal(one, other):
    tf.nest.map_structure(np.testing.assert_array_equal, one, other)


@pytest.mark.slow
def test_pasted_batches_do_not_depend_on_start_or_workers(few_scenes):
    """A resumed run, and each of two workers, has the bits of the whole run."""
    task = task_of("data.copy_paste=0.5")
    whole = batches(task)
    check_equal(batches(task, 2), whole[2:])
    parts = [batches(task, 0, Shard(worker, 2, 2)) for worker in range(2)]
    joined = [tf.nest.map_structure(lambda *rows: np.concatenate(rows), *both) for both in zip(*parts, strict=True)]
    check_equal(joined, whole)


@pytest.mark.slow
def test_images_on_which_nothing_is_pasted_have_the_bits_of_today(few_scenes):
    plain, pasted = batches(task_of()), batches(task_of("data.copy_paste=0.5"))
    check_equal(batches(task_of("data.copy_paste=0")), plain)
    draws = [copy_paste.draw(0.5, 12, tf.constant([0, position], tf.int64)) for position in range(16)]
    assert 0 < sum(bool(each.pastes) for each in draws) < 16
    for position, each in enumerate(draws):
        own, other = (_row(every[position // 4], position % 4) for every in (plain, pasted))
        if not each.pastes:
            check_equal(own, other)
        else:
            assert not np.array_equal(own[0][0], other[0][0])


def _row(batch, i):
    return tf.nest.map_structure(lambda value: value[i], batch)
