"""COCO's format: ids with gaps, crowds, odd and damaged annotations, layouts of folders."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionConfig
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.run_lengths import decode
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.verify import verify
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.task import load_task

CATEGORIES = [{"id": 90, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 3, "name": "owl"}]
HEIGHT, WIDTH = 20, 40


def annotation(number, box, image=7, category=3, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}


def write(folder, annotations, name="train2017", file=None, images=2, categories=CATEGORIES):
    """Writes an annotation file and its images of 20 x 40 pixels, with the ids 7, 8, ..."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(images):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 20 * i, np.uint8)).save(folder / name / f"{i}.png")
        rows.append({"id": 7 + i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH})
    path = file or folder / "annotations" / f"instances_{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": rows, "annotations": annotations, "categories": categories}))
    return path


def load(folder, **data):
    return load_image_set(Data(name=f"coco:{folder}", **data), "boxes")


def whole(folder, split="train"):
    images = load(folder, validation_fraction=0, test_fraction=0)
    return images, [images.split(split).read(tf.constant(i, tf.int64)) for i in range(images.split(split).size)]


def test_boxes_classes_crowds_and_areas(tmp_path):
    """Ids 1, 3 and 90 are classes 0, 1 and 2 (torchvision issue 1141, TensorFlow models issue 1719).

    x is first in the file, y here; id 0 and no iscrowd are fine.
    """
    write(
        tmp_path,
        [annotation(0, [5, 2, 30, 10]), annotation(4, [0, 0, 40, 20], category=90, iscrowd=1, area=900)],
    )
    images, read = whole(tmp_path)
    assert images.labels == ("cat", "owl", "dog")
    image, objects = read[0]
    assert tf.io.decode_png(image).shape == (HEIGHT, WIDTH, 3)
    assert objects["boxes"].numpy().tolist() == [[2, 5, 12, 35], [0, 0, 20, 40]]
    assert objects["classes"].numpy().tolist() == [1, 2]
    assert objects["ignored"].numpy().tolist() == [False, True]
    assert objects["areas"].numpy().tolist() == [300, 900]
    assert read[1][1]["boxes"].shape == (0, 4)  # an image without objects is a negative
    assert images.passed_over == {}
    assert images.split("train").stated_sizes.tolist() == [[HEIGHT, WIDTH]] * 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (annotation(1, [5, 2, 30, 10]), "annotation id given twice"),
        (annotation(2, [5, 2, 30, 10], image=99), "annotation of an unknown image"),
        (annotation(2, [5, 2, 30, 10], category=2), "annotation of an unknown category"),
        (annotation(2, [5, 2, -30, 10]), "box without area"),
        (annotation(2, [5, 2, 30, 0]), "box without area"),
        (annotation(2, [10, 10, 0, 10]), "box without area"),  # torchvision issue 2240
        (annotation(2, [50, 2, 30, 10]), "box outside of its image"),
        (annotation(2, [5, 2, 30]), "box is not four finite numbers"),
        (annotation(2, [5, 2, 10**400, 10]), "box is not four finite numbers"),
        (annotation(2, None), "box is not four finite numbers"),
        (annotation(2, "1234"), "box is not four finite numbers"),
        (annotation(2, [5, 2, float("nan"), 10]), "box is not four finite numbers"),
    ],
)
def test_unusable_annotation_is_left_out_and_counted(tmp_path, bad, reason):
    path = write(tmp_path, [annotation(1, [1, 1, 8, 8]), bad])
    images, read = whole(tmp_path)
    assert images.passed_over == {reason: 1}
    (finding,) = images.findings
    assert str(finding).startswith(f"train: {path}: annotation {bad['id']}: {reason}, ")
    assert "\n" not in str(finding)
    assert read[0][1]["boxes"].numpy().tolist() == [[1, 1, 9, 9]]
    assert f"{reason}: 1" in images.overview()["ignored"]


def test_box_that_sticks_out_is_clipped(tmp_path):
    """By more than a pixel it is counted; less is rounding."""
    write(tmp_path, [annotation(1, [-3, 15, 10, 10]), annotation(2, [30, 0, 10.4, 5])])
    images, read = whole(tmp_path)
    np.testing.assert_allclose(read[0][1]["boxes"], [[15, 0, 20, 7], [0, 30, 5, 40]])
    assert images.passed_over == {"box clipped to its image": 1}


def test_findings_have_value_and_what_is_allowed(tmp_path):
    bad = [
        annotation(1, [50, 2, 30, 10]),
        annotation(1, [1, 1, 8, 8]),
        annotation(2, [1, 1, 8, 8], category=2),
        annotation(3, [1, 1, 8, 8], image=99),
    ]
    write(tmp_path, [])
    write(tmp_path, bad, "val2017")
    images = load(tmp_path)
    assert {(finding.split, finding.kind) for finding in images.findings} == {
        ("validation", k) for k in images.passed_over
    }
    assert [finding.what for finding in images.findings] == [
        "box outside of its image, bbox [50, 2, 30, 10] in 40 x 20 pixels; expected a part inside of the image",
        "annotation id given twice, id 1; expected one",
        "annotation of an unknown category, category_id 2; expected an id in categories",
        "annotation of an unknown image, image_id 99; expected an id in images",
    ]
    assert images.overview()["the first is"] == str(images.findings[0])


def test_layouts_and_splits(tmp_path):
    write(tmp_path / "coco", [], "train2017")
    write(tmp_path / "coco", [annotation(1, [1, 1, 8, 8], image=8)], "val2017", images=3)
    images = load(tmp_path / "coco")
    assert {name: split.size for name, split in images.splits.items()} == {"train": 2, "validation": 3}
    assert images.split("validation").source(1).endswith("val2017/1.png")
    for name in ("train", "valid", "test"):
        write(tmp_path / "roboflow", [], name, tmp_path / "roboflow" / name / "_annotations.coco.json")
    assert sorted(load(tmp_path / "roboflow").splits) == ["test", "train", "validation"]
    write(tmp_path / "one", [], "images", tmp_path / "one" / "annotations" / "train.json", images=10)
    sizes = {name: split.size for name, split in load(tmp_path / "one").splits.items()}
    assert sizes == {"train": 8, "validation": 1, "test": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "is not JSON"),
        ("[]", "is not in COCO's format: it has no list images"),
        ('{"images": [], "annotations": []}', "is not in COCO's format: it has no list categories"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', r"images\[0\] has no file_name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "has no images"),
        ('{"images": [{"id": [1], "file_name": "a"}]}', r"images\[0\] has the id \[1\]"),
        ('{"images": [{"id": 1, "file_name": "a", "height": null}]}', r"images\[0\] has the height None"),
    ],
)
def test_damaged_file_is_one_line(tmp_path, content, message):
    path = write(tmp_path, [])
    path.write_text(content)
    with pytest.raises(DataError, match=f"instances_train2017.json: {message}") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "name", "value", "message"),
    [
        ("images", "height", float("inf"), "height inf; expected a number of pixels below 1,000,000,000"),
        ("images", "height", float("nan"), "height nan; expected"),
        ("images", "width", 10**400, r"width \.\.\.; expected"),
        ("images", "width", -1, "width -1; expected"),
        ("images", "file_name", "", "file_name '': it is empty"),
        ("categories", "name", " ", "name ' ': it is empty"),
        ("categories", "name", "a\nb", r"name 'a\\nb': its name has a control character"),
        ("categories", "name", "\ud800", r"name '\\ud800': its name is not UTF-8"),
    ],
)
def test_unusable_image_or_category_is_refused(tmp_path, key, name, value, message):
    """A name is a line of labels.txt; pycocotools draws polygons in an image of this size."""
    path = write(tmp_path, [annotation(1, [1, 1, 8, 8], segmentation=[[1, 1, 8, 1, 8, 8]])])
    content = json.loads(path.read_text())
    content[key][0][name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"{key}\[0\] has the {message}"):
        load_image_set(Data(name=f"coco:{tmp_path}"), "boxes", masks=True)


def test_area_that_is_no_number_is_that_of_the_box(tmp_path):
    areas = [None, "9", -1, float("nan"), 10**400, 9]
    write(tmp_path, [annotation(i, [1, 1, 8, 5], area=area) for i, area in enumerate(areas)])
    assert whole(tmp_path)[1][0][1]["areas"].numpy().tolist() == [40] * 5 + [9]


@pytest.mark.parametrize("key", ["images", "categories"])
def test_id_of_two_images_or_categories_is_refused(tmp_path, key):
    path = write(tmp_path, [])
    content = json.loads(path.read_text())
    content[key][1]["id"] = content[key][0]["id"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"2 of its {key} have the id {content[key][0]['id']}"):
        load(tmp_path)


def test_two_annotation_files_for_a_split_are_refused(tmp_path):
    write(tmp_path, [], "train2014")
    write(tmp_path, [], "train2017")
    with pytest.raises(ConfigError, match=r"train2017\.json: has annotations of the train split, as has .*train2014"):
        load(tmp_path)


def test_missing_images_and_folders_are_named(tmp_path):
    write(tmp_path, [])
    (tmp_path / "train2017" / "1.png").unlink()
    with pytest.raises(DataError, match=r": train: .*/1\.png: no such file; .*_train2017\.json lists it$"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="has no annotations of a training split"):
        load(tmp_path / "empty")


def test_categories_that_differ_between_splits_are_refused(tmp_path):
    write(tmp_path, [], "train2017")
    write(tmp_path, [], "val2017", categories=[*CATEGORIES[:2], {"id": 3, "name": "fox"}])
    with pytest.raises(DataError, match=r'val2017\.json: category 3 is "fox", and "owl" in .*train2017\.json'):
        load(tmp_path)


@pytest.mark.slow
def test_detection_reads_batches_of_several_sizes(tmp_path):
    """The image is fitted into a square; boxes of an evaluation are in pixels of the file."""
    write(tmp_path, [annotation(1, [5, 2, 30, 10])], images=3)
    config = DetectionConfig.model_validate(
        {
            "model": {"name": "scene_resnet14"},
            "data": {"name": f"coco:{tmp_path}", "image_size": 64, "validation_fraction": 0, "test_fraction": 0},
            "train": {"steps": 1},
            "eval": {"batch_size": 3},
        }
    )
    (images, objects, geometry), _ = next(iter(load_task(config).eval_dataset("train", Shard(0, 1, 3))))
    assert images.shape == (3, 64, 64, 3)
    np.testing.assert_allclose(geometry, [[1.6, 20, 40], [1.6, 20, 40], [1.6, 20, 40]])
    assert objects["boxes"][0, 0].numpy().tolist() == [2, 5, 12, 35]
    assert objects["valid"].numpy().sum(1).tolist() == [1, 0, 0]
    config = config.model_copy(update={"data": config.data.model_copy(update={"image_size": None})})
    with pytest.raises(ConfigError, match=r"data\.image_size: .* has images of several sizes"):
        load_task(config)


def test_masks_are_read_and_unusable_ones_are_named(tmp_path):
    """An object without a usable mask is left out; cocoapi#139: a polygon of four numbers is no box."""
    square = [[5, 2, 35, 2, 35, 12, 5, 12]]
    crowd = {"size": [HEIGHT, WIDTH], "counts": [0, 40, 760]}
    write(
        tmp_path,
        [
            annotation(0, [5, 2, 30, 10], segmentation=square),
            annotation(1, [0, 0, 2, 20], segmentation=crowd, iscrowd=1),
            annotation(2, [5, 2, 30, 10], segmentation=[[5, 2, 30, 10]]),
            annotation(3, [5, 2, 30, 10]),
            annotation(4, [5, 2, 30, 10], image=8, segmentation=square),
        ],
    )
    images = load_image_set(Data(name=f"coco:{tmp_path}", validation_fraction=0, test_fraction=0), "boxes", masks=True)
    train = images.split("train")
    _, objects = train.read(tf.constant(0, tf.int64))
    assert objects["masks"].numpy().tolist() == list(train.masks(0))
    first, second = (decode(mask, (HEIGHT, WIDTH)) for mask in train.masks(0))
    assert np.argwhere(first).min(0).tolist() == [2, 5]
    assert np.argwhere(first).max(0).tolist() == [11, 34]
    assert second[:, :2].all()
    assert not second[:, 2:].any()
    assert images.passed_over == {"mask cannot be used": 2}
    assert [each.source.rpartition(": ")[2] for each in images.findings] == ["annotation 2", "annotation 3"]
    assert images.findings[0].what == (
        "mask cannot be used: polygon 0 is [5, 2, 30, 10]; expected x and y of three corners or more"
    )


@pytest.mark.slow
def test_masks_of_held_out_images_and_of_verify(tmp_path):
    segments = [[[5 + i, 2, 35, 2, 35, 12, 5, 12]] for i in range(4)]
    rows = [annotation(i, [5, 2, 30, 10], image=7 + i, segmentation=each) for i, each in enumerate(segments)]
    write(tmp_path, [*rows, annotation(9, [5, 2, 30, 10])], images=4, categories=CATEGORIES[2:])
    data = Data(name=f"coco:{tmp_path}", validation_fraction=0.5)
    assert [each.kind for each in verify(data).findings] == []
    assert [each.kind for each in verify(data, masks=True).findings] == ["mask cannot be used"]
    seen = set()
    for split in load_image_set(data, "boxes", masks=True).splits.values():
        for i in range(split.size):
            (mask,) = split.read(tf.constant(i, tf.int64))[1]["masks"].numpy()
            assert (mask,) == tuple(split.masks(i))
            seen.add(mask)
    assert len(seen) == 4
