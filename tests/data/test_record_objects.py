"""Masks of objects in records: the round trip from COCO's, masks of smaller images, missing and wrong masks."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import in_process
from PIL import Image

from keras_resnet.config.detection import DetectionConfig, DetectionData
from keras_resnet.data.objects import objects_in_pixels
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.prepare import prepare
from keras_resnet.data.record_objects import CORNERS, MASKS, OBJECT_LABEL, resized_mask
from keras_resnet.data.run_lengths import decode, encode
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.verify import verify
from keras_resnet.errors import ConfigError
from keras_resnet.task import load_task

SIZE = (20, 40)


def bottle():
    """Returns a mask in rows 2 to 11, columns 5 to 34, without a corner."""
    mask = np.zeros(SIZE, bool)
    mask[2:12, 5:35] = True
    mask[2:6, 5:10] = False
    return mask


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Returns a folder of two training images and one for validation: a polygon, run lengths, a crowd, no object."""
    folder = tmp_path_factory.mktemp("masks") / "coco"
    (folder / "annotations").mkdir(parents=True)
    polygon = [[5, 2, 35, 2, 35, 12, 5, 12]]
    runs = {"size": list(SIZE), "counts": encode(bottle()).decode()}
    crowd = {"size": list(SIZE), "counts": [100, 200, 500]}
    rows = {
        "train": [(0, polygon, 300, 0), (0, runs, 280, 0), (0, crowd, 200, 1)],
        "val": [(9, runs, 280, 0), (9, polygon, 300, 0)],
    }
    for split, count in (("train", 2), ("val", 1)):
        (folder / split).mkdir()
        images = [{"id": i + (9 if split == "val" else 0), "height": 20, "width": 40} for i in range(count)]
        for each in images:
            each["file_name"] = f"{each['id']}.png"
            Image.fromarray(np.full((*SIZE, 3), 20 * each["id"], np.uint8)).save(folder / split / each["file_name"])
        objects = [
            {"image_id": image, "category_id": 1, "bbox": [5, 2, 30, 10], "segmentation": mask, "area": area}
            | {"id": number, "iscrowd": crowd}
            for number, (image, mask, area, crowd) in enumerate(rows[split])
        ]
        content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "a"}]}
        content["categories"].append({"id": 2, "name": "b"})
        (folder / f"annotations/{split}.json").write_text(json.dumps(content))
    return folder


def settings(name):
    return DetectionData(name=name, validation_fraction=0, test_fraction=0)


@pytest.fixture(scope="module")
def records(coco, tmp_path_factory):
    output = tmp_path_factory.mktemp("records") / "whole"
    prepare(settings(f"coco:{coco}"), str(output), masks=True)
    return output


def load(name):
    return load_image_set(settings(name), "boxes", masks=True)


def read(name):
    """Returns the objects of each training image, most objects first."""
    found = load(name).split("train")
    images = [found.read(tf.constant(i, tf.int64))[1] for i in range(found.size)]
    return sorted(images, key=lambda each: -len(each["masks"]))


def test_records_have_the_masks_of_the_folder(coco, records):
    for given, found in zip(read(f"coco:{coco}"), read(f"tfrecord:{records}"), strict=True):
        assert found["masks"].numpy().tolist() == given["masks"].numpy().tolist()
        np.testing.assert_allclose(found["boxes"], given["boxes"], atol=1e-4)
        for name in ("classes", "ignored", "areas"):
            np.testing.assert_array_equal(found[name], given[name])


def test_masks_of_a_split_of_records_are_those_of_the_folder(coco, records):
    """An evaluation compares with them."""
    given, found = (load(name).split("validation").masks(0) for name in (f"coco:{coco}", f"tfrecord:{records}"))
    assert found == list(given)
    assert len(found) == 2


@pytest.mark.slow
def test_metrics_get_the_same_from_records(coco, records):
    """What `Detection.evaluate` and the collector read: images, objects, sizes, and the masks of the split."""
    batches = []
    for name in (f"coco:{coco}", f"tfrecord:{records}"):
        data = {"name": name, "image_size": 64, "validation_fraction": 0, "test_fraction": 0, "max_objects": 2}
        model = {"name": "scene_resnet14"}
        values = {"model": model, "data": data, "detector": {"masks": True}, "train": {"steps": 1}}
        task = load_task(DetectionConfig.model_validate(values | {"eval": {"batch_size": 1}}))
        (image, objects, geometry), _ = next(iter(task.eval_dataset("validation", Shard(0, 1, 1))))
        kept = {key: value[:, :2] for key, value in objects.items()}
        masks = task.collector("validation")._masks_of(0)
        batches.append((image, kept, geometry, [decode(mask, SIZE) for mask in masks]))
    tf.nest.map_structure(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-4), *batches)


def test_prepare_data_with_masks_of_smaller_images(coco, tmp_path):
    """Half of the size: masks cover the pixels that they cover half of, and are as large as the stored image."""
    output = tmp_path / "records"
    arguments = (f"coco:{coco}", output, "--masks", "--max_side=20", "--test_fraction=0")
    process = in_process("-m", "keras_resnet", "prepare-data", *arguments)
    assert process.returncode == 0, process.stderr
    assert "train --config=detection/coco_mask_rcnn_r50_fpn --set data.name=tfrecord:" in process.stdout
    found, without = read(f"tfrecord:{output}")
    square, cut, _ = (decode(mask, (10, 20)) for mask in found["masks"].numpy())
    expected = np.zeros((10, 20), bool)
    expected[1:6, 2:18] = True
    np.testing.assert_array_equal(square, expected)
    expected[1:3, 2:5] = False
    np.testing.assert_array_equal(cut, expected)
    np.testing.assert_allclose(found["boxes"][0], [1, 2.5, 6, 17.5], atol=1e-5)
    assert not len(without["masks"])


def test_resized_mask_by_hand():
    """A quarter of a pixel is none, half of one is one; an object that covers half of no pixel keeps its best one."""
    mask = np.zeros((4, 6), bool)
    mask[0, 0] = mask[2:4, 2] = mask[0:2, 4:6] = True
    half = decode(resized_mask(encode(mask), (4, 6), (2, 3)), (2, 3))
    assert half.astype(int).tolist() == [[0, 0, 1], [0, 1, 0]]
    speck = np.zeros((4, 6), bool)
    speck[3, 5] = True
    assert decode(resized_mask(encode(speck), (4, 6), (2, 3)), (2, 3)).astype(int).tolist() == [[0, 0, 0], [0, 0, 1]]
    assert resized_mask(encode(mask), (4, 6), (4, 6)) == encode(mask)


def test_records_and_sets_without_masks_are_one_line(coco, tmp_path):
    prepare(settings(f"coco:{coco}"), str(tmp_path / "old"))
    with pytest.raises(ConfigError) as error:
        load_image_set(settings(f"tfrecord:{tmp_path}/old"), "boxes", masks=True)
    assert str(error.value) == (
        f"data.name: tfrecord:{tmp_path}/old: its records have no masks (image/object/mask_run_lengths); "
        "prepare-data --masks writes them"
    )
    with pytest.raises(ConfigError, match="tfds:coco/2017: masks are read from coco, scenes, tfrecord, not from tfds"):
        load_image_set(settings("tfds:coco/2017"), "boxes", masks=True)
    with pytest.raises(ConfigError, match="masks are read from coco, scenes, tfrecord, not from voc"):
        prepare(settings(f"voc:{coco}"), str(tmp_path / "new"), masks=True)


WRONG = {
    "damaged, or not of the size of the image": [
        [encode(bottle()), encode(bottle()[:, :-1])],
        [encode(bottle()), b"\x00\xff"],
        [encode(bottle()), encode(bottle())[:-1] + b"p"],
        [encode(bottle()), b""],
    ],
    "has 1 masks of 2 objects": [[encode(bottle())]],
}


def test_wrong_masks_of_records_are_findings(tmp_path):
    """Those of another size, with other bytes, cut off, and without bytes; a missing one."""
    image = tf.io.encode_png(np.zeros((*SIZE, 3), np.uint8)).numpy()
    corners = {key: [0.9 if "max" in key else 0.1] * 2 for key in CORNERS}
    (tmp_path / "labels.txt").write_text("a\nb\n")
    rows = [(what, masks) for what, many in WRONG.items() for masks in many]
    with tf.io.TFRecordWriter(str(tmp_path / "train-00000-of-00001")) as writer:
        for masks in [[encode(bottle())] * 2, *(masks for _, masks in rows)]:
            lists = {"image/encoded": [image], MASKS: masks}
            features = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for k, v in lists.items()}
            features |= {k: tf.train.Feature(float_list=tf.train.FloatList(value=v)) for k, v in corners.items()}
            features[OBJECT_LABEL] = tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    findings = verify(settings(f"tfrecord:{tmp_path}"), masks=True).findings
    assert [each.source.rpartition(" ")[2] for each in findings] == [str(i + 1) for i in range(len(rows))]
    for (what, masks), finding in zip(rows, findings, strict=True):
        named = "the mask of its object 1 is " if len(masks) == 2 else ""
        assert finding.what == named + what


def test_object_without_area_is_left_out_with_its_mask():
    boxes = tf.constant([[0.0, 0, 0, 5], [0, 0, 5, 5]])
    found = objects_in_pixels(boxes, tf.constant([9.0, 9.0]), [0, 1], [False, False], masks=tf.constant(["a", "b"]))
    assert found["masks"].numpy().tolist() == [b"b"]
