"""Tests that prepared records of images with boxes have the folder's images and objects."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import in_process
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionData
from keras_resnet.data.record_objects import CORNERS, OBJECT_LABEL
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.verify import verify
from keras_resnet.errors import ConfigError


@pytest.fixture
def coco(tmp_path):
    """Returns a folder of three images of 20 x 40 pixels, the first with two objects, in three formats."""
    folder = tmp_path / "coco"
    rows = []
    for i, suffix in enumerate(("jpg", "png", "bmp")):
        (folder / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 40, 3), 50 * i, np.uint8)).save(folder / "train" / f"{i}.{suffix}")
        rows.append({"id": i, "file_name": f"{i}.{suffix}", "height": 20, "width": 40})
    boxes = [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [5, 2, 30, 10], "area": 77},
        {"id": 2, "image_id": 0, "category_id": 7, "bbox": [0, 0, 40, 20], "area": 800, "iscrowd": 1},
        {"id": 3, "image_id": 2, "category_id": 7, "bbox": [0.3, 0.1, 7.7, 5], "area": 9},
    ]
    categories = [{"id": 7, "name": "dog"}, {"id": 1, "name": "cat"}]
    (folder / "annotations").mkdir()
    content = {"images": rows, "annotations": boxes, "categories": categories}
    (folder / "annotations/train.json").write_text(json.dumps(content))
    return folder


def objects(name):
    """Returns the objects of the training images, sorted by their areas."""
    data = DetectionData(name=name, validation_fraction=0, test_fraction=0)
    images = load_image_set(data, "boxes")
    split = images.split("train")
    read = [split.read(tf.constant(i, tf.int64)) for i in range(split.size)]
    assert images.labels == ("cat", "dog")
    return sorted(({k: v.numpy() for k, v in each.items()} for _, each in read), key=lambda each: each["areas"].sum())


def prepare(*arguments):
    return in_process("-m", "keras_resnet", "prepare-data", *arguments, "--validation_fraction=0", "--test_fraction=0")


def test_one_class_is_enough_for_boxes(coco, tmp_path):
    path, output = coco / "annotations/train.json", tmp_path / "records"
    content = json.loads(path.read_text())
    del content["categories"][0]
    path.write_text(json.dumps(content))
    assert prepare(f"coco:{coco}", output).returncode == 0
    data = DetectionData(name=f"tfrecord:{output}", validation_fraction=0, test_fraction=0)
    assert load_image_set(data, "boxes").labels == ("cat",)


@pytest.mark.parametrize(("flags", "scale"), [((), 1), (("--max_side=20",), 0.25)])
def test_prepared_boxes_are_those_of_the_folder(coco, tmp_path, flags, scale):
    output = tmp_path / "records"
    process = prepare(f"coco:{coco}", output, *flags)
    assert process.returncode == 0, process.stderr
    assert f"train --config=detection/coco_faster_rcnn_r50_fpn --set data.name=tfrecord:{output}" in process.stdout
    for given, found in zip(objects(f"coco:{coco}"), objects(f"tfrecord:{output}"), strict=True):
        np.testing.assert_allclose(found["boxes"], given["boxes"] * scale**0.5, atol=1e-4)
        np.testing.assert_allclose(found["areas"], given["areas"] * scale, rtol=1e-5)
        assert found["classes"].tolist() == given["classes"].tolist()
        assert found["ignored"].tolist() == given["ignored"].tolist()


def test_missing_image_is_one_line(coco, tmp_path):
    (coco / "train/1.png").unlink()
    process = prepare(f"coco:{coco}", tmp_path / "records")
    assert process.returncode == 3
    assert process.stderr.endswith("1.png: no such file; " + str(coco / "annotations/train.json") + " lists it\n")
    assert process.stderr.count("\n") == 1


def write(folder, **features):
    """Writes a training file of one record of tf-models' layout: corners 0.5 to 1, without areas and crowds."""
    stream = tf.io.encode_png(np.zeros((20, 40, 3), np.uint8)).numpy()
    values = {name: [0.5 if "min" in name else 1.0] for name in CORNERS} | {OBJECT_LABEL: [2]} | features
    kinds = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=value))
        if name in CORNERS
        else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        for name, value in values.items()
    }
    kinds["image/encoded"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[stream]))
    folder.mkdir()
    (folder / "labels.txt").write_text("cat\ndog\n")
    with tf.io.TFRecordWriter(str(folder / "train-00000-of-00001")) as writer:
        writer.write(tf.train.Example(features=tf.train.Features(feature=kinds)).SerializeToString())
    return f"tfrecord:{folder}"


def test_records_without_areas_and_crowds(tmp_path):
    (found,) = objects(write(tmp_path / "records"))
    assert {name: value.tolist() for name, value in found.items()} == {
        "boxes": [[10, 20, 20, 40]],
        "classes": [1],
        "ignored": [False],
        "areas": [200],
    }


def test_records_with_a_label_and_objects_give_what_the_task_needs(tmp_path):
    """ImageNet's records may have objects too."""
    name = write(tmp_path / "records", **{"image/class/label": [1]})
    assert load_image_set(Data(name=name)).target == "label"
    assert load_image_set(DetectionData(name=name), "boxes").target == "boxes"
    with pytest.raises(ConfigError, match="has a class for each image, and this needs boxes"):
        load_image_set(Data(name=name), "boxes")


@pytest.mark.sampled("label", "area")
@pytest.mark.parametrize(
    ("features", "kind", "what"),
    [
        ({OBJECT_LABEL: [3]}, "wrong label", "its label is 3; expected 1 to 2"),
        ({OBJECT_LABEL: [0]}, "wrong label", "its label is 0; expected 1 to 2"),
        ({CORNERS[0]: [0.5, 0.5]}, "unreadable", "Shapes of all inputs must match"),
        (
            {CORNERS[2]: [0.5]},
            "box without area",
            "y1 x1 y2 x2 10, 20, 10, 40 in 40 x 20 pixels; expected a width and a height above 0",
        ),
    ],
    ids=["label", "label 0", "corners", "area"],
)
def test_verify_names_damaged_objects(tmp_path, features, kind, what):
    name = write(tmp_path / "records", **features)
    report = verify(DetectionData(name=name, validation_fraction=0, test_fraction=0))
    (finding,) = [each for each in report.findings if each.kind != "empty class"]
    assert (finding.kind, finding.split) == (kind, "train")
    assert what in finding.what


def test_damaged_first_record_is_named(tmp_path):
    name = write(tmp_path / "records")
    path = tmp_path / "records/train-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    (finding,) = [each for each in verify(Data(name=name)).findings if each.kind != "empty class"]
    assert finding.kind == "damaged"
    assert "checksum" in finding.what
