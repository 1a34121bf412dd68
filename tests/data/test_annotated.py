"""Images of one class each with VOC's annotations: ImageNet's layout, and a folder's."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_voc import HEIGHT, SIZE, WIDTH, thing

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionData
from keras_resnet.config.localization import LocalizationData
from keras_resnet.data.sources import load_image_set, open_image_set
from keras_resnet.data.verify import verify
from keras_resnet.errors import ConfigError, DataError


def write(image, annotation=None, objects=""):
    """Writes an image of 20 x 40 pixels, and its annotation if it has one."""
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(image, format="jpeg")
    if annotation:
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text(f"<annotation><filename>other</filename>{SIZE}{objects}</annotation>")


def imagenet(root):
    """Two synsets; one training image without an annotation, one of them with two objects."""
    for part, name, objects in (
        ("train/n02", "n02_1", thing((0, 1, 10, 20), "n02") + thing((20, 5, 39, 15), "n02")),
        ("train/n02", "n02_2", None),
        ("train/n01", "n01_1", thing((1, 1, 5, 5), "n01")),
        ("val", "ILSVRC_1", thing((2, 3, 30, 20), "n02")),
    ):
        annotation = root / f"Annotations/CLS-LOC/{part}/{name}.xml" if objects else None
        write(root / f"Data/CLS-LOC/{part}/{name}.JPEG", annotation, objects)
    return Data(name=f"imagenet_loc:{root}")


def test_imagenet_has_the_images_with_boxes(tmp_path):
    images = load_image_set(imagenet(tmp_path), "boxes")
    assert images.labels == ("n01", "n02")
    assert {name: split.size for name, split in images.splits.items()} == {"train": 2, "validation": 1}
    assert images.passed_over == {"image without an annotation": 1}
    train = images.split("train")
    assert train.source(1).endswith("Data/CLS-LOC/train/n02/n02_1.JPEG")
    content, objects = train.read(tf.constant(1, tf.int64))
    assert tf.io.decode_jpeg(content).shape == (HEIGHT, WIDTH, 3)
    assert objects["boxes"].numpy().tolist() == [[1, 0, 20, 11], [5, 20, 16, 40]]  # pixels 0 to 10
    assert objects["classes"].numpy().tolist() == [1, 1]


def test_imagenet_shows_the_names_of_its_list(tmp_path):
    data = imagenet(tmp_path)
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01 tench, Tinca tinca\nn02 goldfish\n")
    assert open_image_set(data).labels == ("tench, Tinca tinca", "goldfish")


def test_imagenet_without_its_folders_is_refused(tmp_path):
    (tmp_path / "Data/CLS-LOC/train").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"has no folder .*Annotations/CLS-LOC/train"):
        open_image_set(Data(name=f"imagenet_loc:{tmp_path}"))


def folder(root):
    write(root / "train/pets/a.jpg", root / "train/pets/a.xml", thing((1, 1, 10, 20)))
    write(root / "train/b.jpg", root / "train/b.xml", thing((1, 1, 5, 5), "cat") + thing((11, 1, 15, 5), "cat"))
    write(root / "train/both.jpg", root / "train/both.xml", thing((1, 1, 5, 5), "cat") + thing((1, 1, 9, 9), "dog"))
    write(root / "train/none.jpg", root / "train/none.xml")
    write(root / "train/alone.jpg")
    write(root / "val/c.jpg", root / "val/c.xml", thing((1, 1, 10, 20), "cat"))


def test_folder_has_annotations_beside_images(tmp_path):
    folder(tmp_path)
    images = load_image_set(Data(name=f"annotated:{tmp_path}"), "boxes")
    assert images.labels == ("cat", "dog")
    assert {name: split.size for name, split in images.splits.items()} == {"train": 2, "validation": 1}
    assert images.passed_over == {
        "image without an annotation": 1,
        "image without an object": 1,
        "several classes": 1,
    }
    (finding,) = images.findings
    assert str(finding) == f"train: {tmp_path}/train/both.jpg: has objects of cat, dog; expected one class"
    _, objects = images.split("train").read(tf.constant(0, tf.int64))
    assert objects["boxes"].numpy().tolist() == [[0, 0, 5, 5], [0, 10, 5, 15]]  # VOC's pixels begin at 1


def test_verify_counts_objects(tmp_path):
    folder(tmp_path)
    report = verify(DetectionData(name=f"annotated:{tmp_path}"))
    assert (report.splits["train"].images, report.splits["train"].objects) == (2, 3)
    assert [finding.kind for finding in report.findings if finding.split == "train"][:1] == ["several classes"]


def test_folder_without_splits_holds_out_some_of_its_images(tmp_path):
    for i in range(10):
        write(tmp_path / f"{i}.jpg", tmp_path / f"{i}.xml", thing((1, 1, 5, 5), "cat"))
    splits = open_image_set(Data(name=f"annotated:{tmp_path}", validation_fraction=0.2, test_fraction=0.1)).splits
    assert {name: split.size for name, split in splits.items()} == {"train": 7, "validation": 2, "test": 1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no training image has an annotation with an object of one class"),
        (lambda root: [(root / name).mkdir() for name in ("train", "val", "valid")], "are both for validation"),
        (lambda root: (root / "val").mkdir(), "has .*/val, but no folder train"),
    ],
)
def test_folder_that_is_no_set_is_refused(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        open_image_set(Data(name=f"annotated:{tmp_path}"))


def test_sets_with_labels_and_boxes_give_boxes_to_the_tasks_of_boxes():
    assert [each.wants_boxes for each in (Data, DetectionData, LocalizationData)] == [False, True, True]
