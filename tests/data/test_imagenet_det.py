"""ImageNet's detection data: ILSVRC's lists, WordNet ids, pixels from 0, images without objects, val1 and val2."""

import re
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, in_process
from PIL import Image
from test_voc import HEIGHT, SIZE, WIDTH, sizes, thing

from keras_resnet.config import load_config
from keras_resnet.config.detection import DetectionData
from keras_resnet.data.imagenet_det_classes import SYNSETS
from keras_resnet.data.sources import load_image_set
from keras_resnet.errors import ConfigError, DataError

RECIPE = str(ROOT / "configs/detection/det_r101_c4.yaml")
DOG, CAT, TERRIER = "n02084071", "n02121808", "n02095314"  # the last one is not of the 200
BOX = (0, 2, 9, 19)
TRAIN = {  # annotated images; names as of ILSVRC 2013, 2014 and its images of the background
    f"ILSVRC2013_train/{DOG}/{DOG}_1": thing(BOX, DOG),
    f"ILSVRC2013_train/{CAT}/{CAT}_7": thing(BOX, CAT) + thing(BOX, CAT),
    "ILSVRC2014_train_0000/ILSVRC2014_train_00000001": thing(BOX, DOG) + thing(BOX, CAT),
    "ILSVRC2013_train_extra0/ILSVRC2013_train_00000002": None,
}
VAL = {f"ILSVRC2012_val_0000000{i}": thing(BOX, DOG if i % 2 else CAT) for i in range(1, 5)}


def write(folder, name, objects, of="train"):
    """Writes an image of 20 x 40 pixels and, unless `objects` is None, its annotation."""
    image, file = folder / f"Data/DET/{of}/{name}.JPEG", folder / f"Annotations/DET/{of}/{name}.xml"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(image)
    if objects is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<annotation>{SIZE}{objects}</annotation>")


def lists(folder, **lines):
    (folder / "ImageSets/DET").mkdir(parents=True, exist_ok=True)
    for name, rows in lines.items():
        (folder / f"ImageSets/DET/{name}.txt").write_text("".join(f"{row}\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    """Returns a folder in ILSVRC's layout: 3 training images with objects, 1 without, 4 for validation, 1 for test."""
    folder = tmp_path / "ILSVRC"
    for name, objects in TRAIN.items():
        write(folder, name, objects)
    for name, objects in VAL.items():
        write(folder, name, objects, "val")
    write(folder, "ILSVRC2012_test_00000001", None, "test")
    dog, cat, both, none = TRAIN
    lists(folder, train_59=[f"{cat} 1", f"{both} 0", f"{dog} -1"], train_58=[f"{dog} 1", f"{both} 1", f"{none} -1"])
    lists(folder, val=[f"{name} {i}" for i, name in enumerate(VAL, 1)], test=["ILSVRC2012_test_00000001 1"])
    lists(folder, val1=[f"{name} 1" for name in [*VAL][:3]], val2=[f"{name} 4" for name in [*VAL][3:]])
    return folder


def load(folder, **data):
    return load_image_set(DetectionData(name=f"imagenet_det:{folder}", **data), "boxes")


def first(images, split="train"):
    return images.split(split).read(tf.constant(0, tf.int64))[1]


def test_classes_are_the_200_of_the_kit():
    """meta_det.mat has them in the order of their English names but for bow, after bow tie; ids are WordNet's."""
    names = list(SYNSETS.values())
    assert len(SYNSETS) == len({*names}) == 200
    assert all(re.fullmatch(r"n\d{8}", synset) for synset in SYNSETS)
    some = {"n02672831": 1, "n02084071": 58, "n02121808": 59, "n00007846": 124, "n03793489": 48, "n02391049": 200}
    assert {synset: [*SYNSETS].index(synset) + 1 for synset in some} == some
    assert [SYNSETS[synset] for synset in some] == [
        "accordion",
        "dog",
        "domestic cat",
        "person",
        "computer mouse",
        "zebra",
    ]
    assert [name for name, following in pairwise(names) if name > following] == ["bow tie"]


def test_lists_of_classes_are_the_training_images_once(folder):
    """In the order of the lists; -1 is not of the class, and the image without objects is in no other list."""
    images = load(folder)
    assert sizes(images) == {"train": 3, "validation": 4}
    source = images.split("train").source
    dog, cat, both, _ = TRAIN
    assert [source(i) for i in range(3)] == [f"{folder}/Data/DET/train/{name}.JPEG" for name in (dog, both, cat)]
    assert images.labels == tuple(SYNSETS.values())
    assert images.passed_over == {
        "training image without a labeled object": 1,
        "missing annotation of test.txt, no split": 1,
    }
    assert images.problems == ()


def test_pixels_count_from_0_and_include_the_last(folder):
    """xmin 0 to xmax 9 are ten pixels; 39 is the last one of 40, and annotations that end at 40 are whole too."""
    found = first(load(folder))
    assert found["boxes"].numpy().tolist() == [[2, 0, 20, 10]]
    assert found["areas"].numpy().tolist() == [180]
    assert SYNSETS[DOG] == load(folder).labels[int(found["classes"][0])] == "dog"
    dog = next(iter(TRAIN))
    write(folder, dog, thing((0, 0, 39, 19), DOG) + thing((0, 0, 40, 20), DOG) + thing((0, 0, 42, 19), DOG))
    images = load(folder)
    assert first(images)["boxes"].numpy().tolist() == [[0, 0, 20, 40]] * 3
    assert [each.source.rpartition(": ")[2] for each in images.findings] == ["object 3"]


def test_objects_of_other_classes_are_findings_and_their_image_background(folder):
    dog = next(iter(TRAIN))
    write(folder, dog, thing(BOX, TERRIER))
    images = load(folder)
    assert first(images)["boxes"].shape == (0, 4)
    (finding,) = images.findings
    what = f"is of the class {TERRIER}; expected one of the 200 WordNet ids"
    assert str(finding) == f"train: {folder}/Annotations/DET/train/{dog}.xml: {what}"
    assert images.passed_over["object of another class than the 200"] == 1


def test_list_of_all_training_images_replaces_those_of_classes(folder):
    """ILSVRC's train.txt numbers its images and has those without an annotation."""
    lists(folder, train=[f"{name} {i}" for i, name in enumerate(TRAIN, 1)])
    images = load(folder)
    assert sizes(images) == {"train": 3, "validation": 4}
    assert images.passed_over["training image without a labeled object"] == 1


def test_recipe_trains_on_train_and_val1(folder):
    data = load_config(RECIPE, [f"data.name=imagenet_det:{folder}"]).data
    assert sizes(load_image_set(data, "boxes")) == {"train": 6, "validation": 1}
    one = load(folder, split_lists={"train": ["train_59"], "validation": ["val2"]})
    assert sizes(one) == {"train": 2, "validation": 1}


def message(kind, folder, **data):
    with pytest.raises(kind) as error:
        load(folder, **data)
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(folder), "ILSVRC")


def test_missing_lists_annotations_and_images_are_one_line(folder, tmp_path):
    (folder / "ImageSets/DET/val2.txt").unlink()
    assert message(ConfigError, folder, split_lists={"train": ["val1"], "validation": ["val2"]}).startswith(
        'data.split_lists.validation: val2: no file ImageSets/DET/val2.txt; did you mean "val'
    )
    both = {"train": ["train", "val1"], "validation": ["val"]}
    assert message(DataError, folder, split_lists=both) == (
        "ILSVRC/ImageSets/DET/val.txt: the image val/ILSVRC2012_val_00000001 is in ILSVRC/ImageSets/DET/val1.txt too"
    )
    dog = next(iter(TRAIN))
    (folder / f"Annotations/DET/train/{dog}.xml").unlink()
    assert message(DataError, folder).startswith("ILSVRC/ImageSets/DET/train_*.txt: 1 of 3 annotations are missing, ")
    write(folder, dog, "")
    (folder / f"Data/DET/train/{dog}.JPEG").unlink()
    assert message(DataError, folder).endswith("no such file; ILSVRC/ImageSets/DET/train_*.txt lists it")
    lists(folder, val=["n02084071_1 1"])
    assert message(DataError, folder) == (
        "ILSVRC/ImageSets/DET/val.txt: n02084071_1 is no image of the sets train, val and test; "
        "expected a name such as ILSVRC2013_val_00000001"
    )
    assert message(ConfigError, tmp_path).endswith(
        "has no ImageSets/DET/train_1.txt or train.txt; expected a folder with Data, Annotations and ImageSets"
    )


def test_verify_data_and_records(folder, tmp_path):
    dog = next(iter(TRAIN))
    write(folder, dog, thing(BOX, TERRIER))
    process = in_process("-m", "keras_resnet", "verify-data", f"imagenet_det:{folder}")
    assert process.returncode == 3
    assert f"{dog}.xml: is of the class {TERRIER}" in " ".join(process.stdout.split())
    prepare = in_process("-m", "keras_resnet", "prepare-data", f"imagenet_det:{folder}", tmp_path / "records")
    assert prepare.returncode == 0, prepare.stderr
    assert "7 images (train 3, validation 4)" in prepare.stdout


@pytest.mark.slow
def test_train_and_evaluate_the_recipe(folder, tmp_path):
    """Through the command line: two steps of a small detector on train and val1, evaluated on val2."""
    small = ["data.image_size=64", "model.name=scene_resnet14", "model.version=null", "model.weights=null"]
    small += ["detector.anchor_sizes=[[12, 24, 48]]", "detector.rpn_channels=16", "train.steps=2"]
    small += ["train.batch_size=2", "eval.batch_size=1", "detector.score_threshold=0"]
    sets = [f"--set={each}" for each in [f"data.name=imagenet_det:{folder}", *small]]
    run = str(tmp_path / "run")
    train = in_process("-m", "keras_resnet", "train", f"--config={RECIPE}", f"--workdir={run}", *sets)
    assert train.returncode == 0, train.stderr
    assert re.search(r"images +6 train, 1 validation; 200 classes", train.stdout)
    assert "training image without a labeled object: 1" in " ".join(train.stdout.split())
    evaluate = in_process("-m", "keras_resnet", "evaluate", run, "--protocol=imagenet_det")
    assert evaluate.returncode == 0, evaluate.stderr
    assert "DET AP" in evaluate.stdout
