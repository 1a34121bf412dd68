"""Lists of several years of Pascal VOC that make one split, in a small VOCdevkit of two years."""

import re

import pytest
import tensorflow as tf
from conftest import ROOT, in_process
from test_voc import lists, sizes, thing, write

from keras_resnet.config import load_config
from keras_resnet.config.detection import DetectionData
from keras_resnet.data.sources import load_image_set
from keras_resnet.errors import ConfigError, DataError

RECIPES = ("voc07_faster_rcnn_r50_fpn", "voc0712_faster_rcnn_r50_fpn", "voc07pp12_faster_rcnn_r50_fpn")
BOTH = {"train": ["VOC2007/trainval", "VOC2012/trainval"], "test": ["VOC2007/test"]}


@pytest.fixture
def devkit(tmp_path):
    """Returns a folder of two years, both with images named a to d; the cats are of 2012."""
    folder = tmp_path / "VOCdevkit"
    for year, label in (("VOC2007", "dog"), ("VOC2012", "cat")):
        for name in "abcd":
            write(folder / year, thing((1, 1, 9, 9), label), name)
    lists(folder / "VOC2007", train="a", val="b", trainval="a b", test="c d", dog_train="a")
    lists(folder / "VOC2012", train="b c", val="a", trainval="a b c")
    return folder


def recipe(name):
    return str(ROOT / f"configs/detection/{name}.yaml")


def load(folder, split_lists, **data):
    given = {"validation_fraction": 0, "test_fraction": 0} | data
    return load_image_set(DetectionData(name=f"voc:{folder}", split_lists=split_lists, **given), "boxes")


def named(images, split, folder):
    found = images.split(split)
    return [found.source(i).removeprefix(f"{folder}/").replace("JPEGImages/", "") for i in range(found.size)]


def test_lists_of_two_years_are_one_split(devkit):
    """The images a and b of both years are four images; each has the objects of its year."""
    images = load(devkit, BOTH)
    assert named(images, "train", devkit) == [f"VOC2007/{n}.jpg" for n in "ab"] + [f"VOC2012/{n}.jpg" for n in "abc"]
    assert named(images, "test", devkit) == ["VOC2007/c.jpg", "VOC2007/d.jpg"]
    read = images.split("train").read
    labels = [images.labels[int(read(tf.constant(i, tf.int64))[1]["classes"][0])] for i in range(5)]
    assert labels == ["dog", "dog", "cat", "cat", "cat"]


def test_validation_is_a_share_of_train_or_its_own_lists(devkit):
    images = load(devkit, BOTH, validation_fraction=0.4)
    assert sizes(images) == {"train": 3, "validation": 2, "test": 2}
    assert images.split("validation").held_out
    own = load(devkit, {"train": ["VOC2012/train"], "validation": ["VOC2007/val", "VOC2012/val"]})
    assert sizes(own) == {"train": 2, "validation": 2}
    assert named(own, "validation", devkit) == ["VOC2007/b.jpg", "VOC2012/a.jpg"]


def test_lists_of_one_year_are_named_without_its_folder(devkit):
    """Images of val are not taken from trainval, as they are without the key."""
    images = load(devkit / "VOC2007", {"train": ["trainval"], "test": ["test"]})
    assert sizes(images) == {"train": 2, "validation": 2, "test": 2}


def message(kind, folder, split_lists):
    with pytest.raises(kind) as error:
        load(folder, split_lists)
    assert "\n" not in str(error.value)
    return str(error.value).replace(str(folder), "KIT")


def test_same_image_of_one_year_twice_is_refused(devkit):
    main = "ImageSets/Main"
    twice = {"train": ["VOC2007/train", "VOC2007/trainval"]}
    assert message(DataError, devkit, twice) == (
        f"KIT/VOC2007/{main}/trainval.txt: the image VOC2007/a is in KIT/VOC2007/{main}/train.txt too"
    )
    lists(devkit / "VOC2012", both="d c")
    split = BOTH | {"validation": ["VOC2012/both"]}
    assert message(DataError, devkit, split) == (
        f"KIT/VOC2012/{main}/both.txt: the image VOC2012/c is in KIT/VOC2012/{main}/trainval.txt too"
    )


def test_missing_list_folder_annotation_and_image_are_one_line(devkit):
    assert message(ConfigError, devkit, {"train": ["VOC2012/trainval"], "test": ["VOC2012/test"]}) == (
        "data.split_lists.test: VOC2012/test: no file VOC2012/ImageSets/Main/test.txt; "
        'expected one of "train", "trainval", "val"'
    )
    assert message(ConfigError, devkit, {"train": ["VOC2007/trainvl"]}).startswith(
        "data.split_lists.train: VOC2007/trainvl: no file VOC2007/ImageSets/Main/trainvl.txt; "
        'did you mean "trainval" or "train"'
    )
    assert message(ConfigError, devkit, {"train": ["VOC2008/trainval"]}) == (
        "data.split_lists.train: VOC2008/trainval: no such folder VOC2008; KIT has VOC2007, VOC2012"
    )
    (devkit / "VOC2007/Annotations/c.xml").unlink()
    assert message(DataError, devkit, BOTH) == (
        "KIT/VOC2007/ImageSets/Main/test.txt: 1 of 2 annotations are missing, KIT/VOC2007/Annotations/c.xml for one"
    )
    (devkit / "VOC2012/JPEGImages/b.jpg").unlink()
    assert message(DataError, devkit, {"train": BOTH["train"]}).endswith(
        "train: KIT/VOC2012/JPEGImages/b.jpg: no such file; KIT/VOC2012/ImageSets/Main/trainval.txt lists it"
    )


def test_folder_of_years_without_lists_says_what_to_set(devkit):
    assert message(ConfigError, devkit, {}) == (
        "data.name: voc:KIT: has no ImageSets/Main/train.txt or trainval.txt; name the folder of one year, or set "
        "data.split_lists, as {train: [LIST, ...]}; its lists are VOC2007/test, VOC2007/train, VOC2007/trainval, "
        "VOC2007/val, VOC2012/train, VOC2012/trainval, VOC2012/val"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("{trian: [VOC2007/train]}", 'data.split_lists.trian: unknown key; did you mean "train"?'),
        ("{train: VOC2007/train}", 'data.split_lists.train: expected a list of texts, got "VOC2007/train"'),
        ("{train: [train.txt]}", 'data.split_lists.train: unknown name "train.txt"; expected FOLDER/LIST, such as'),
        ("{train: [../train]}", 'data.split_lists.train: unknown name "../train"; expected FOLDER/LIST, such as'),
        ("{train: [/train]}", 'data.split_lists.train: unknown name "/train"; expected FOLDER/LIST, such as'),
        ("{train: [], test: [VOC2007/test]}", "data.split_lists.train: expected a list or more, such as"),
        ("{test: [VOC2007/trainval]}", "data.split_lists: names VOC2007/trainval 2 times"),
    ],
)
def test_wrong_lists_are_one_line(value, text):
    with pytest.raises(ConfigError) as error:
        load_config(recipe(RECIPES[0]), [f"data.split_lists={value}"])
    assert text in str(error.value)


def test_lists_of_another_kind_of_data_are_refused():
    base = recipe("coco_faster_rcnn_r50_fpn")
    with pytest.raises(
        ConfigError, match=r"data\.split_lists: is for voc:PATH and imagenet_det:PATH, not for coco:coco; omit it"
    ):
        load_config(base, ["data.split_lists={train: [train]}"])


def test_recipes_name_the_lists_of_their_years(devkit):
    """Another kind of data, such as records of the same images, replaces the lists."""
    all_images = [f"data.name=voc:{devkit}", "data.validation_fraction=0"]
    found = [load_image_set(load_config(recipe(name), all_images).data, "boxes") for name in RECIPES]
    assert [images.split("train").size for images in found] == [2, 5, 7]
    assert [images.splits.get("test") is not None for images in found] == [True, True, False]
    told = []
    records = load_config(recipe(RECIPES[1]), ["data.name=tfrecord:records"], told.append).data
    assert not records.split_lists.named()
    assert told[0].startswith("data.split_lists: ")


@pytest.mark.slow
def test_train_prepare_and_evaluate_two_years(devkit, tmp_path):
    """Through the command line: a small detector on 07+12, its evaluation by VOC's metric, and records of the same."""
    name = f"voc:{devkit}"
    small = ["data.image_size=64", "model.name=scene_resnet14", "model.version=null", "model.weights=null"]
    small += ["detector.anchor_sizes=[[12], [24], [48]]", "detector.fpn_channels=16", "detector.box_features=16"]
    small += ["detector.min_level=2", "detector.extra_level=false", "train.steps=2", "train.warmup_steps=0"]
    small += ["train.batch_size=2", "eval.batch_size=2", "train.freeze_at=null"]
    sets = [f"--set={each}" for each in [f"data.name={name}", *small]]
    run = str(tmp_path / "run")
    train = in_process("-m", "keras_resnet", "train", f"--config={recipe(RECIPES[1])}", f"--workdir={run}", *sets)
    assert train.returncode == 0, train.stderr
    assert re.search(r"images +5 train, 2 validation, 2 test", train.stdout)
    evaluate = in_process("-m", "keras_resnet", "evaluate", run, "--split=test", "--protocol=voc07")
    assert evaluate.returncode == 0, evaluate.stderr
    lists_of = "--set=data.split_lists={train: [VOC2007/trainval, VOC2012/trainval], test: [VOC2007/test]}"
    fractions = ("--validation_fraction=0", "--test_fraction=0")
    prepare = in_process("-m", "keras_resnet", "prepare-data", name, tmp_path / "records", lists_of, *fractions)
    assert prepare.returncode == 0, prepare.stderr
    assert "7 images (train 5, test 2)" in prepare.stdout
