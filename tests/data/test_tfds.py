"""Tests the real builders of TensorFlow Datasets on miniature archives, without downloads."""

import io
import json
import pathlib
import re
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from conftest import prepare_cifar10
from PIL import Image

from keras_resnet.config import Data
from keras_resnet.config.detection import DetectionData
from keras_resnet.data.decode import decode
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.voc import LABELS as VOC_LABELS
from keras_resnet.errors import ConfigError, DataError

RANDOM = np.random.RandomState(0)


def jpeg(height, width):
    stream = io.BytesIO()
    Image.fromarray(RANDOM.randint(0, 256, (height, width, 3), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def archive(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def test_tfds_imagenet2012_from_archives(tmp_path):
    """Runs the real builder on three training images of two classes and two validation images."""
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    wnids = tfds.builder("imagenet2012", data_dir=str(tmp_path)).info.features["label"].names[:2]
    train = {
        f"{wnids[0]}.tar": archive({f"{wnids[0]}_1.JPEG": jpeg(40, 60), f"{wnids[0]}_2.JPEG": jpeg(50, 30)}),
        f"{wnids[1]}.tar": archive({f"{wnids[1]}_1.JPEG": jpeg(33, 35)}),
    }
    (manual / "ILSVRC2012_img_train.tar").write_bytes(archive(train))
    for split in ("val", "test"):
        images = archive({f"ILSVRC2012_{split}_0000000{i}.JPEG": jpeg(40, 40) for i in (1, 2)})
        (manual / f"ILSVRC2012_img_{split}.tar").write_bytes(images)
    images = load_image_set(Data(name="tfds:imagenet2012", directory=str(tmp_path)))
    assert images.image_shape == (None, None, 3)
    assert len(images.labels) == 1000
    # Its test images have no labels, and are left out.
    assert {name: split.size for name, split in images.splits.items()} == {"train": 3, "validation": 2}
    split = images.split("train")
    read = [split.read(tf.constant(i, tf.int64)) for i in range(3)]
    assert sorted(int(label) for _, label in read) == [0, 0, 1]
    assert sorted(decode(image, 3).numpy().shape[:2] for image, _ in read) == [(33, 35), (40, 60), (50, 30)]
    assert "imagenet2012-train.tfrecord" in split.source(0)


def test_tfds_cifar10_from_archive(tmp_path):
    """Runs the real builder on files of 4 images."""
    pixels, labels = prepare_cifar10(tmp_path, 4)
    images = load_image_set(Data(name="tfds:cifar10", directory=str(tmp_path / "sets"), validation_fraction=0.1))
    assert images.image_shape == (32, 32, 3)
    assert images.labels[::9] == ("airplane", "truck")
    assert sum(split.size for split in images.splits.values()) == 24
    assert images.split("test").size == 4
    seen = {}
    for split in images.splits.values():
        for i in range(split.size):
            image, label = split.read(tf.constant(i, tf.int64))
            seen[image.numpy().tobytes()] = int(label)
    assert seen == {image.tobytes(): int(label) for image, label in zip(pixels, labels, strict=True)}
    whole = load_image_set(Data(name="tfds:cifar10", directory=str(tmp_path / "sets"), validation_fraction=0))
    assert whole.split("train").size == 20
    assert whole.split("validation").size == 4  # the test images


def test_tfds_unknown_or_unprepared_set_raises(tmp_path):
    with pytest.raises(ConfigError, match=r'data\.name: tfds:cifar: unknown set; did you mean .*"cifar10"'):
        load_image_set(Data(name="tfds:cifar"))
    with pytest.raises(DataError, match=r"is not prepared in .*, and data\.download is false"):
        load_image_set(Data(name="tfds:mnist", directory=str(tmp_path), download=False))
    with pytest.raises(DataError, match=r"data.name: tfds:imagenet2012: cannot be prepared in .*: .*(m|M)anual"):
        load_image_set(Data(name="tfds:imagenet2012", directory=str(tmp_path)))


def build(name, folder, files, directory):
    """Runs a real builder on files {path: content} instead of its downloads."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.MonkeyPatch.context() as patch:
        same = lambda self, urls: dict.fromkeys(urls, str(folder))  # noqa: E731
        patch.setattr(tfds.download.DownloadManager, "download_and_extract", same)
        tfds.builder(name, data_dir=str(directory)).download_and_prepare()


def read_all(split):
    """Returns [(image size, {name: list})], by the image's width."""
    read = [split.read(tf.constant(i, tf.int64)) for i in range(split.size)]
    found = [(decode(image, 3).shape[:2], {k: v.numpy().tolist() for k, v in each.items()}) for image, each in read]
    return sorted(found, key=lambda each: each[0][1])


def test_tfds_coco_from_archives(tmp_path):
    """Boxes are pixels of each image; areas are those of the file; a box without area is left out and named."""
    names = [{"id": i + 1 + (i > 40), "name": f"class {i}"} for i in range(80)]
    boxes = [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [5, 2, 30, 10], "area": 77, "iscrowd": 0},
        {"id": 2, "image_id": 0, "category_id": 81, "bbox": [0, 0, 40, 20], "area": 800, "iscrowd": 1},
        {"id": 3, "image_id": 1, "category_id": 2, "bbox": [10, 5, 0, 5], "area": 9, "iscrowd": 0},
        {"id": 4, "image_id": 1, "category_id": 2, "bbox": [10, 5, 20.5, 5.25], "area": 0, "iscrowd": 0},
    ]
    rows = [{"id": i, "file_name": f"{i}.jpg", "height": 20, "width": 40 + 10 * i} for i in range(3)]
    files = {}
    for split, kind in (("train", "instances"), ("val", "instances"), ("test", "image_info")):
        content = {"images": rows, "categories": names} | ({"annotations": boxes} if split != "test" else {})
        files[f"annotations/{kind}_{split}2017.json"] = json.dumps(content)
        files |= {f"{split}2017/{i}.jpg": jpeg(20, 40 + 10 * i) for i in range(3)}
    build("coco/2017", tmp_path / "coco", files, tmp_path)
    images = load_image_set(DetectionData(name="tfds:coco/2017", directory=str(tmp_path)), "boxes")
    assert images.labels == tuple(row["name"] for row in names)
    assert {name: split.size for name, split in images.splits.items()} == {"train": 3, "validation": 3}
    assert images.passed_over == {"image of test, which has no objects and is no split": 3}
    (size, crowd), (_, one), (_, none) = read_all(images.split("validation"))
    assert size == (20, 40)
    np.testing.assert_allclose(crowd.pop("boxes"), [[2, 5, 12, 35], [0, 0, 20, 40]], atol=1e-5)
    assert crowd == {"classes": [0, 79], "ignored": [False, True], "areas": [77, 800]}
    np.testing.assert_allclose(one["boxes"], [[5, 10, 10.25, 30.5]], atol=1e-5)
    np.testing.assert_allclose(one["areas"], [20.5 * 5.25], rtol=1e-5)
    assert none["boxes"] == []
    train = images.split("train")
    ((kind, source, what),) = [problem for i in range(3) for problem in train.unusable(i)]
    assert kind == "box without area"
    assert re.search(r"coco-train\.tfrecord.*, record \d, object 0$", source)
    assert what == (
        "box without area, y1 x1 y2 x2 5, 10, 10, 10 in 50 x 20 pixels; expected a width and a height above 0"
    )


def test_tfds_voc_from_archives(tmp_path):
    """TensorFlow Datasets divides VOC's pixels, which begin with 1, by the size; boxes are those of voc:PATH."""
    corners = "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>10</xmax><ymax>20</ymax></bndbox>"
    thing = "<object><name>{}</name><pose>Left</pose><truncated>0</truncated><difficult>{}</difficult>" + corners
    things = thing.format("dog", 0) + "</object>" + thing.format("Person", 1) + "</object>"
    size = "<size><width>40</width><height>20</height></size>"
    files = {f"ImageSets/Main/{split}.txt": f"{split}\n" for split in ("train", "val", "test")}
    files |= {f"JPEGImages/{split}.jpg": jpeg(20, 40) for split in ("train", "val", "test")}
    files |= {f"Annotations/{name}.xml": f"<annotation>{size}{things}</annotation>" for name in ("train", "val")}
    build("voc/2012", tmp_path / "voc", {f"VOCdevkit/VOC2012/{k}": v for k, v in files.items()}, tmp_path)
    images = load_image_set(DetectionData(name="tfds:voc/2012", directory=str(tmp_path)), "boxes")
    assert images.labels == VOC_LABELS
    assert sorted(images.splits) == ["train", "validation"]
    ((_, found),) = read_all(images.split("train"))
    np.testing.assert_allclose(found["boxes"], [[2, 0, 20, 10]] * 2, atol=1e-5)
    np.testing.assert_allclose(found["areas"], [180, 180], rtol=1e-5)
    assert [images.labels[label] for label in found["classes"]] == ["dog", "person"]
    assert found["ignored"] == [False, True]
    with pytest.raises(ConfigError, match=r"tfds:voc/2012 has boxes, and this needs a class for each image"):
        load_image_set(Data(name="tfds:voc/2012", directory=str(tmp_path)))


class Both(tfds.core.GeneratorBasedBuilder):
    """A set of PNGs with a label, and with objects that say neither whether they are ignored nor their area."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent

    def _info(self):
        label = tfds.features.ClassLabel(names=["a", "b"])
        objects = tfds.features.Sequence({"bbox": tfds.features.BBoxFeature(), "label": label})
        features = {"image": tfds.features.Image(), "label": label, "objects": objects}
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        box = tfds.features.BBox(0.25, 0.5, 1.0, 0.75)
        for i in range(2):
            objects = [{"bbox": box, "label": "b"}] * i
            yield i, {"image": np.zeros((20, 40 + i, 3), np.uint8), "label": "a", "objects": objects}


def test_tfds_set_with_labels_and_boxes_gives_what_the_task_needs(tmp_path, monkeypatch):
    """PNGs, and objects without flags are read. Training images may all be without objects."""
    monkeypatch.setattr("keras_resnet.data.tfds_objects._TRIED", 0)
    tfds.builder("both", data_dir=str(tmp_path)).download_and_prepare()
    settings = {"name": "tfds:both", "directory": str(tmp_path), "validation_fraction": 0, "test_fraction": 0}
    assert load_image_set(Data(**settings)).target == "label"
    images = load_image_set(DetectionData(**settings), "boxes")
    (size, none), (_, one) = read_all(images.split("train"))
    assert (size, none["boxes"]) == ((20, 40), [])
    assert one == {"boxes": [[5, 20.5, 20, 30.75]], "classes": [1], "ignored": [False], "areas": [153.75]}
