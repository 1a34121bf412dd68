"""Boxes are in the frame of the upright image; an annotation for an image of another size makes it unreadable."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_orientation import JFIF, STORED, UPRIGHT, exif, jpeg

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionConfig
from keras_resnet.data.pipeline import Shard, training_batches, unreadable
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.stated_size import size_problem
from keras_resnet.errors import DataError
from keras_resnet.task import load_task

LYING = jpeg(STORED[6], JFIF, exif(6))  # stored 40 high and 24 wide, upright 24 and 40


def coco(folder, height, width, box, content=LYING, name="a.jpg"):
    """Writes a set of one image with one box x, y, w, h, and a second image without any."""
    (folder / "train").mkdir()
    (folder / "annotations").mkdir()
    (folder / "train" / name).write_bytes(content)
    Image.fromarray(UPRIGHT).save(folder / "train/b.png")
    rows = [{"id": 1, "file_name": name, "height": height, "width": width}]
    rows.append({"id": 2, "file_name": "b.png", "height": 24, "width": 40})
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box}
    content = {"images": rows, "annotations": [annotation], "categories": [{"id": 1, "name": "cat"}]}
    (folder / "annotations/train.json").write_text(json.dumps(content))


def task_of(folder, name="coco", **data):
    data = {"name": f"{name}:{folder}", "image_size": 64, "validation_fraction": 0, "test_fraction": 0} | data
    train = {"steps": 1, "batch_size": 2}
    groups = {"model": {"name": "scene_resnet14"}, "data": data, "train": train, "eval": {"batch_size": 2}}
    return load_task(DetectionConfig.model_validate(groups))


@pytest.mark.slow
def test_boxes_are_in_the_frame_of_the_upright_image(tmp_path):
    """Of one block of color: box and pixels meet in what an evaluation sees."""
    coco(tmp_path, 24, 40, [16, 8, 8, 8])
    (images, objects, geometry), weights = next(iter(task_of(tmp_path).eval_dataset("train", Shard(0, 1, 2))))
    assert weights.numpy().tolist() == [1, 1]
    assert objects["boxes"][0, 0].numpy().tolist() == [8, 16, 16, 24]
    np.testing.assert_allclose(geometry, [[1.6, 24, 40]] * 2)
    y1, x1, y2, x2 = (objects["boxes"][0, 0].numpy() * 1.6 + np.array([2, 2, -2, -2])).astype(int)
    inside = images[0].numpy()[y1:y2, x1:x2]
    np.testing.assert_allclose(inside, np.broadcast_to(UPRIGHT[8, 16].astype(float), inside.shape), atol=12)


def test_stored_size_is_an_error_that_names_file_and_sizes(tmp_path):
    coco(tmp_path, 40, 24, [8, 16, 8, 8])
    (line,) = unreadable(task_of(tmp_path).images.split("train"), range(2))
    problem = size_problem((40, 24), (24, 40))
    assert line == f"{tmp_path}/train/a.jpg: {problem}"
    assert "is 24 x 40 pixels (height x width), but its annotation states 40 x 24; expected the same" in line


@pytest.mark.slow
def test_training_refuses_or_skips_an_image_of_another_size(tmp_path, strategies):
    coco(tmp_path, 40, 24, [8, 16, 8, 8])
    with pytest.raises(DataError, match=r"a\.jpg: is 24 x 40 pixels .* \(data\.on_unreadable_image=skip skips"):
        next(training_batches(task_of(tmp_path), strategies[1], 0))
    skipping = task_of(tmp_path, on_unreadable_image="skip")
    _, weights = next(training_batches(skipping, strategies[1], 0))
    assert sorted(weights.numpy()) == [0, 1]


@pytest.mark.parametrize("size", ["<size><width>24</width><height>40</height></size>", ""])
def test_voc_without_a_size_is_read_upright(tmp_path, size):
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "JPEGImages/a.jpg").write_bytes(LYING)
    box = "<bndbox><xmin>31</xmin><ymin>1</ymin><xmax>60</xmax><ymax>30</ymax></bndbox>"
    annotation = f"<annotation>{size}<object><name>cat</name>{box}</object></annotation>"
    (tmp_path / "Annotations/a.xml").write_text(annotation)
    (tmp_path / "ImageSets/Main/train.txt").write_text("a\n")
    split = load_image_set(Data(name=f"voc:{tmp_path}", validation_fraction=0, test_fraction=0), "boxes").split("train")
    if size:
        assert "but its annotation states 40 x 24" in unreadable(split, [0])[0]
    else:
        assert split.read(tf.constant(0, tf.int64))[1]["boxes"].numpy().tolist() == [[0, 30, 24, 40]]


def test_size_problem():
    assert size_problem((0, 0), (3, 4)) is None
    assert size_problem((3.0, 4.0), (3, 4)) is None
    assert size_problem((4.0, 3.0), (3, 4)).startswith(
        "is 3 x 4 pixels (height x width), but its annotation states 4 x 3;"
    )
