"""Pascal VOC's format: pixels from 1, difficult objects, lists of splits, odd and damaged annotations."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionConfig
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.sources import load_image_set
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.task import load_task

HEIGHT, WIDTH = 20, 40
KEYS = ("xmin", "ymin", "xmax", "ymax")
SIZE = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"


def thing(box, name="dog", difficult=None):
    """Returns an object: xmin, ymin, xmax, ymax."""
    corners = "".join(f"<{key}>{value}</{key}>" for key, value in zip(KEYS, box, strict=False))
    more = "" if difficult is None else f"<difficult>{difficult}</difficult>"
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


def write(folder, objects="", name="a", size=SIZE, image="{}.jpg", before="", filename=""):
    """Writes an annotation and its image of 20 x 40 pixels."""
    for each in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / "JPEGImages" / image.format(name))
    path = folder / "Annotations" / f"{name}.xml"
    path.write_text(f"{before}<annotation><filename>{filename}</filename>{size}{objects}</annotation>")
    return path


def lists(folder, **names):
    """Writes lists of images, as `train="a b"`."""
    for name, images in names.items():
        (folder / "ImageSets/Main" / f"{name}.txt").write_text("\n".join(images.split()) + "\n")


def load(folder, **data):
    return load_image_set(Data(name=f"voc:{folder}", **data), "boxes")


def read_first(folder):
    images = load(folder, validation_fraction=0, test_fraction=0)
    return images, images.split("train").read(tf.constant(0, tf.int64))


def sizes(images):
    return {name: split.size for name, split in images.splits.items()}


def test_boxes_classes_difficult_and_areas(tmp_path):
    """Pixels 1 to 10 are [0, 10] (mxnet issue 3904); x is first in the file, y here."""
    objects = [thing((1, 3, 10, 20)), thing((31, 1, 40, 5), "person", 1), thing((7.5, 8, 7.5, 8), "cat", 0)]
    write(tmp_path, "".join(objects))
    lists(tmp_path, train="a")
    images, (image, found) = read_first(tmp_path)
    assert len(images.labels) == 20
    assert [images.labels[i] for i in found["classes"]] == ["dog", "person", "cat"]
    assert tf.io.decode_jpeg(image).shape == (HEIGHT, WIDTH, 3)
    assert found["boxes"].numpy().tolist() == [[2, 0, 20, 10], [0, 30, 5, 40], [7, 6.5, 8, 7.5]]
    assert found["ignored"].numpy().tolist() == [False, True, False]
    assert found["areas"].numpy().tolist() == [180, 50, 1]
    assert images.passed_over == {}
    assert images.image_shape == (None, None, 3)
    assert images.split("train").stated_sizes.tolist() == [[HEIGHT, WIDTH]]


def test_labels_are_the_sorted_names_of_other_classes(tmp_path):
    """Over all splits."""
    write(tmp_path, thing((1, 1, 9, 9), "zebra") + thing((1, 1, 9, 9), "dog"))
    write(tmp_path, thing((1, 1, 9, 9), " moon\n bear "), "b")
    lists(tmp_path, train="a", val="b")
    images, (_, found) = read_first(tmp_path)
    assert images.labels == ("dog", "moon bear", "zebra")
    assert found["classes"].numpy().tolist() == [2, 0]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (thing((9, 1, 5, 9)), "box without area"),
        (thing((41, 1, 50, 9)), "box outside of its image"),
        (thing((1, 21, 9, 30)), "box outside of its image"),
        (thing((1, 1, "wide", 9)), "box is not four finite numbers"),
        (thing((1, 1, "inf", 9)), "box is not four finite numbers"),
        (thing((1, 1, 9)), "box is not four finite numbers"),
        ("<object><name>dog</name></object>", "box is not four finite numbers"),
        (thing((1, 1, 9, 9), ""), "object without a name"),
    ],
)
def test_unusable_object_is_left_out_and_counted(tmp_path, bad, reason):
    path = write(tmp_path, thing((2, 2, 9, 9)) + bad)
    lists(tmp_path, train="a")
    images, (_, found) = read_first(tmp_path)
    assert images.passed_over == {reason: 1}
    (finding,) = images.findings
    assert str(finding).startswith(f"train: {path}: object 2: {reason}, xmin ")
    assert found["boxes"].numpy().tolist() == [[1, 1, 9, 9]]
    assert f"{reason}: 1" in images.overview()["ignored"]


def test_box_from_pixel_0_or_over_the_edge_is_clipped_and_counted(tmp_path):
    """An xmin of 0 does not wrap around (mxnet issue 3904, py-faster-rcnn issue 34)."""
    write(tmp_path, thing((0, 1, 9, 9)) + thing((31, 5, 41, 20)))
    lists(tmp_path, train="a")
    images, (_, found) = read_first(tmp_path)
    assert found["boxes"].numpy().tolist() == [[0, 0, 9, 9], [4, 30, 20, 40]]
    assert found["areas"].numpy().tolist() == [81, 160]
    assert images.passed_over == {"box clipped to its image": 2}
    what = "box clipped to its image, xmin 0, ymin 1, xmax 9, ymax 9 in 40 x 20 pixels"
    assert images.findings[0].what == f"{what}; expected all of it inside of the image"


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_size_that_is_missing_is_that_of_the_file(tmp_path, size):
    write(tmp_path, thing((31, 1, 50, 30)), size=size)
    lists(tmp_path, train="a")
    assert read_first(tmp_path)[1][1]["boxes"].numpy().tolist() == [[0, 30, 20, 40]]


def test_image_without_objects_or_of_another_suffix(tmp_path):
    """An image without objects is a negative; its file may be the one that the annotation names."""
    write(tmp_path, image="{}.png", filename="a.png")
    lists(tmp_path, train="a")
    images, (image, found) = read_first(tmp_path)
    assert found["boxes"].shape == (0, 4)
    assert tf.io.decode_png(image).shape == (HEIGHT, WIDTH, 3)
    assert images.split("train").source(0).endswith("JPEGImages/a.png")


def test_splits_of_lists(tmp_path):
    names = "abcdefghij"
    for name in names:
        write(tmp_path, name=name)
    lists(tmp_path, trainval=" ".join(names))
    assert sizes(load(tmp_path)) == {"train": 8, "validation": 1, "test": 1}
    lists(tmp_path, val="b c")
    images = load(tmp_path)
    assert sizes(images) == {"train": 8, "validation": 2}
    assert images.split("validation").source(1).endswith("c.jpg")
    assert [images.split("train").source(i)[-5] for i in range(8)] == list("adefghij")
    lists(tmp_path, train="a d d", test="e")
    images = load(tmp_path)
    assert sizes(images) == {"train": 2, "validation": 2, "test": 1}
    assert images.passed_over == {"image named twice in a list": 1}


def test_test_list_with_missing_annotations_is_no_split(tmp_path):
    write(tmp_path)
    write(tmp_path, name="b").unlink()
    lists(tmp_path, train="a", test="b")
    images = load(tmp_path, validation_fraction=0, test_fraction=0)
    assert "test" not in images.splits
    assert images.passed_over == {"missing annotation of test.txt, no split": 1}


def test_faults_of_lists_and_files_are_one_line(tmp_path):
    def message(kind, pattern):
        with pytest.raises(kind, match=pattern) as error:
            load(tmp_path)
        assert "\n" not in str(error.value)

    with pytest.raises(ConfigError, match="no such folder"):
        load(tmp_path / "none")
    message(ConfigError, r"has no ImageSets/Main/train\.txt or trainval\.txt")
    write(tmp_path)
    lists(tmp_path, train="a", val="a")
    message(DataError, r"val\.txt: the image a is in .*train\.txt too")
    lists(tmp_path, val="")
    message(DataError, r"val\.txt: has no images")
    lists(tmp_path, val="b c")
    message(DataError, r"val\.txt: 2 of 2 annotations are missing, .*b\.xml for one")
    write(tmp_path, name="b")
    write(tmp_path, name="c")
    (tmp_path / "JPEGImages/c.jpg").unlink()
    message(DataError, r": validation: .*/c\.jpg: no such file; .*/val\.txt lists it$")
    (tmp_path / "ImageSets/Main/val.txt").write_bytes(b"\xff\xfe")
    message(DataError, r"val\.txt: cannot be read")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(tmp_path, encoding):
    path = write(tmp_path, thing((1, 1, 9, 9), "&dog;"), before='<!DOCTYPE a [<!ENTITY dog "dog">]>')
    path.write_text(path.read_text(), encoding)
    lists(tmp_path, train="a")
    with pytest.raises(DataError, match=r"a\.xml: is not XML of VOC's format \(has a document type\)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation><object>", "is not XML of VOC's format"),
        ("", "is not XML of VOC's format"),
        ('<?xml version="1.0" encoding="none"?><annotation/>', "is not XML of VOC's format"),
        ("<html/>", "is not in VOC's format: its element is html; expected annotation"),
    ],
)
def test_damaged_annotation_is_one_line(tmp_path, content, message):
    path = write(tmp_path)
    path.write_text(content)
    lists(tmp_path, train="a")
    with pytest.raises(DataError, match=f"a.xml: {message}") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_detection_reads_a_batch(tmp_path):
    write(tmp_path, thing((6, 3, 35, 12)))
    lists(tmp_path, train="a")
    config = DetectionConfig.model_validate(
        {
            "model": {"name": "scene_resnet14"},
            "data": {"name": f"voc:{tmp_path}", "image_size": 64, "validation_fraction": 0, "test_fraction": 0},
            "train": {"steps": 1},
            "eval": {"batch_size": 1},
        }
    )
    (images, objects, geometry), _ = next(iter(load_task(config).eval_dataset("train", Shard(0, 1, 1))))
    assert images.shape == (1, 64, 64, 3)
    np.testing.assert_allclose(geometry, [[1.6, 20, 40]])
    assert objects["boxes"][0, 0].numpy().tolist() == [2, 5, 12, 35]
