"""Tests that verify reports the objects of images with boxes, and copies of images."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionData
from keras_resnet.data import scenes
from keras_resnet.data.image_set import Finding, ImageSet
from keras_resnet.data.objects import Objects, split_of_files
from keras_resnet.data.verify import verify

NONE = Objects((), (), (), ())


def objects(*classes, ignored=()):
    boxes = [(0.0, 0.0, 10.0 + label, 10.0) for label in classes]
    return Objects(boxes, classes, [label in ignored for label in classes], [100.0] * len(classes))


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Returns a function that verifies splits {name: {color of a gray image of 20 x 40 pixels: its objects}}."""

    def checked(data=None, sizes=None, problems=(), passed_over=(), unusable=None, **splits):
        made = {}
        for name, contents in splits.items():
            paths = []
            for i, (color, _) in enumerate(contents):
                paths.append(str(tmp_path / f"{name}{i}.png"))
                if color is not None:
                    Image.fromarray(np.full((20, 40, 3), color, np.uint8)).save(paths[-1])
            split = split_of_files(paths, [each for _, each in contents], sizes and np.array(sizes[name]))
            made[name] = replace(split, unusable=unusable)
        found = [Finding("a kind", "train", "somewhere", "is wrong")]
        given = ImageSet(
            "x", ("a", "b"), (None, None, 3), made, dict(passed_over), "boxes", tuple(found), tuple(problems)
        )
        monkeypatch.setattr("keras_resnet.data.verify.open_image_set", lambda data, masks: given)
        report = verify(data or Data(name=f"coco:{tmp_path}"))
        assert report.findings.pop(len(problems)) == found[0]
        return report

    return checked


def found(report):
    return [(each.kind, each.split, each.source.rpartition("/")[2], each.what) for each in report.findings]


def test_verify_boxes_counts_objects_and_negatives(images, tmp_path):
    report = images(train=[(1, objects(0, 1, 1, ignored=[0])), (2, NONE), (3, objects(0))], test=[(4, objects(0, 1))])
    assert report.findings == []
    train = report.splits["train"]
    assert (train.images, train.classes, train.objects, train.ignored) == (3, 2, 4, 1)
    assert train.sizes == [(20, 40)] * 3
    assert report.notes == {"no objects, which are background alone": [f"{tmp_path}/train1.png"]}


def test_verify_boxes_class_of_ignored_objects_alone_is_empty(images):
    report = images(train=[(1, objects(0, 1, 1, ignored=[1]))])
    assert found(report) == [("empty class", "train", 'class "b"', "has no objects in this split")]


def test_verify_boxes_copies(images):
    """A copy in one split is a finding if its objects differ; their order does not matter."""
    both, same = objects(0, 1), Objects([(0, 0, 11, 10), (0, 0, 10, 10)], (1, 0), (False, False), (9, 9))
    report = images(train=[(1, both), (1, same), (1, objects(0))], test=[(2, both), (1, both)])
    assert [each[:3] for each in found(report)] == [
        ("two annotations", "train", "train2.png"),
        ("duplicate", "test", "test1.png"),
    ]
    assert report.findings[0].what.endswith("train0.png, with other objects")


def test_verify_boxes_wrong_size_and_too_many_objects(images):
    """A size of 0 is not stated."""
    contents = [(1, objects(0, 1)), (2, objects(0, 1, 1)), (3, objects(0, 1))]
    data = DetectionData(name="coco:x", max_objects=2)
    report = images(data, {"train": [(40.0, 20.0), (20.0, 40.0), (0.0, 0.0)]}, train=contents)
    assert sorted(each[:3] for each in found(report)) == [
        ("too many objects", "train", "train1.png"),
        ("wrong size", "train", "train0.png"),
    ]
    assert "is 20 x 40 pixels (height x width), but its annotation states 40 x 20" in str(report.findings)
    assert found(images(train=[(1, objects(*[0, 1] * 50))])) == []
    assert [each[0] for each in found(images(train=[(1, objects(*[0, 1] * 50, 1))]))] == ["too many objects"]


def test_verify_boxes_unusable_objects_are_findings(images):
    """For sets whose objects are checked when an image is read."""
    report = images(
        train=[(1, objects(0, 1)), (2, objects(0))], unusable=lambda index: [("bad", f"row {index}", "is")] * index
    )
    assert found(report) == [("bad", "train", "row 1", "is")]


def test_subset_keeps_stated_sizes_and_unusable_objects_of_its_images():
    split = split_of_files(["a", "b", "c"], [NONE] * 3, np.array([[1, 2], [3, 4], [5, 6]]))
    part = replace(split, unusable=lambda index: [("kind", str(index), "")]).subset(np.array([2, 0]))
    assert part.stated_sizes.tolist() == [[5, 6], [1, 2]]
    assert [part.unusable(i)[0][1] for i in range(2)] == ["2", "0"]


def test_verify_boxes_unreadable_and_missing_images(images, tmp_path):
    """A missing file is one finding. Objects that have findings are not counted as ignored files as well."""
    (tmp_path / "train1.png").write_bytes(b"nothing")
    missing = Finding("missing image", "train", f"{tmp_path}/train2.png", "no such file")
    contents = [(1, objects(0, 1)), (None, objects(0)), (None, objects(0))]
    report = images(problems=[missing], passed_over={"a kind": 1, "other": 2}, train=contents)
    assert [each[:3] for each in found(report)] == [
        ("missing image", "train", "train2.png"),
        ("unreadable", "train", "train1.png"),
    ]
    assert report.passed_over == {"other": 2}


def test_verify_scenes_finds_nothing(monkeypatch):
    monkeypatch.setattr(scenes, "SCENES", {"train": 30})
    report = verify(Data(name="scenes"))
    assert report.findings == []
    train = report.splits["train"]
    painted = [scenes.paint_scene("train", i) for i in range(30)]
    assert train.objects == sum(len(scene.labels) for scene in painted)
    assert train.ignored == sum(scene.ignored.sum() for scene in painted)
