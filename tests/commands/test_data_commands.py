"""Tests verify-data and prepare-data as a user types them."""

import csv
import json
import re

import numpy as np
import pytest
from conftest import in_process
from PIL import Image
from sklearn.datasets import load_sample_images


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Returns a folder of two classes of ten photographs, 80 x 60."""
    folder = tmp_path_factory.mktemp("data") / "my photos"
    for label, picture in zip(("flower", "temple"), reversed(load_sample_images().images), strict=True):
        (folder / label).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(picture[20 * i :, 30 * i :]).crop((0, 0, 80, 60)).save(folder / label / f"{i}.jpg")
    return folder


@pytest.mark.slow
def test_prepare_data_then_verify_data_finds_nothing(cli, photos, tmp_path):
    output = tmp_path / "records"
    process = cli("-m", "keras_resnet", "prepare-data", photos, output, "--max_side=64", "--validation_fraction=0.2")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    lines = [line for line in process.stdout.splitlines() if not line.startswith("prepared ")]  # progress
    assert re.match(r"20 images \(train 14, validation 4, test 2\) in \d+ seconds: .*records", lines[0])
    assert re.fullmatch(r"  images    0\.\d MB", lines[1])
    assert re.fullmatch(r"  records   0\.\d MB in 3 files", lines[2])
    assert lines[-1] == f"Next: keras-resnet train --config=folder/scratch --set data.name=tfrecord:{output}"

    process = cli("-m", "keras_resnet", "verify-data", f"tfrecord:{output}")
    assert process.returncode == 0, process.stderr
    assert re.search(r"^train +14 +2 +48 x 64 +48 x 64 +48 x 64$", process.stdout, re.M)
    assert "classes: flower 10, temple 10\n" in process.stdout
    assert re.search(r"^20 images in 3 splits, 2 classes, \d+ seconds: nothing found$", process.stdout, re.M)


@pytest.mark.slow
def test_verify_data_findings_exit_with_code_3(cli, photos, tmp_path):
    folder = tmp_path / "photos"
    for label in ("flower", "temple"):
        (folder / label).mkdir(parents=True)
        for path in (photos / label).iterdir():
            (folder / label / path.name).write_bytes(path.read_bytes())
    for i in range(60):
        (folder / "flower" / f"[red]{i}.jpg").write_bytes(b"")
    cut = folder / "temple/3.jpg"
    cut.write_bytes(cut.read_bytes()[:-300])
    process = cli(
        "-m",
        "keras_resnet",
        "verify-data",
        f"folder:{folder}",
        "--set=data.validation_fraction=0",
        "--set=data.test_fraction=0",
        f"--csv={tmp_path / 'findings.csv'}",
    )
    assert process.returncode == 3, process.stderr
    assert process.stderr == ""
    assert re.search(r"^empty +60$", process.stdout, re.M)
    assert re.search(r"^damaged +1$", process.stdout, re.M)
    assert f"empty  train: {folder}/flower/[red]1.jpg: has 0 bytes\n" in process.stdout
    assert process.stdout.count("has 0 bytes") == 50
    assert "... and 11 more" in process.stdout
    assert re.search(r"^80 images in 1 split, 2 classes, \d+ seconds: 61 findings$", process.stdout, re.M)
    with open(tmp_path / "findings.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["kind", "split", "source", "what"]
    assert len(rows) == 62
    assert ["damaged", "train", str(cut), "is a truncated or damaged JPEG"] in rows

    process = cli("-m", "keras_resnet", "prepare-data", folder, tmp_path / "records")
    assert process.returncode == 3
    assert re.fullmatch(
        r"error: .*\.jpg: (has 0 bytes|is a trun.*); --on_unreadable_image=skip skips .*", process.stderr.strip()
    )

    arguments = ("prepare-data", folder, tmp_path / "records", "--on_unreadable_image=skip", "--test_fraction=0")
    process = cli("-m", "keras_resnet", *arguments, "--validation_fraction=0")
    assert process.returncode == 0
    assert len(re.findall(r"^WARNING: skipped: .*\.jpg: ", process.stderr, re.M)) == 61
    assert "  skipped   61 unreadable images" in process.stdout
    assert process.stdout.splitlines()[-1].endswith("--set data.validation_fraction=0 --set data.test_fraction=0")


@pytest.mark.slow
def test_verify_data_digits_finds_nothing(cli):
    process = cli("-m", "keras_resnet", "verify-data", "digits")
    assert process.returncode == 0, process.stderr
    assert "1,797 images in 3 splits, 10 classes" in process.stdout


def write_coco(folder, split, annotations, images=2, first=0, width=40):
    """Writes COCO annotations of images with the ids 0, 1, ... and 20 x 40 pixels; `width` is stated for the first."""
    for each in ("annotations", split):
        (folder / each).mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(images):
        Image.fromarray(np.full((20, 40, 3), 20 * (first + i), np.uint8)).save(folder / split / f"{i}.png")
        rows.append({"id": i, "file_name": f"{i}.png", "height": 20, "width": 40 if i else width})
    categories = [{"id": 1, "name": "cat"}, {"id": 90, "name": "dog"}]
    path = folder / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps({"images": rows, "annotations": annotations, "categories": categories}))
    return path


def box(number, x=5, y=2, width=30, height=10, image=0, category=1, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": [x, y, width, height], **more}


def test_verify_data_of_coco_names_every_fault(tmp_path):
    """The id 0 and annotations without iscrowd are no faults."""
    folder = tmp_path / "coco"
    bad = [
        box(0, category=90),
        box(1, category=2),
        box(2, image=77),
        box(3, width=-30),
        box(4, height=0),
        box(5, x=90),
        box(0, x=6),
        box(6, x=20),
        box(7, y=9, iscrowd=1),
    ]
    path = write_coco(folder, "train2017", bad, images=4, width=80)
    (folder / "train2017/3.png").unlink()
    write_coco(folder, "val2017", [box(0, iscrowd=1, category=90), box(1)], first=2)
    arguments = (f"coco:{folder}", "--set=data.max_objects=2", f"--csv={tmp_path / 'findings.csv'}")
    process = in_process("-m", "keras_resnet", "verify-data", *arguments)
    assert process.returncode == 3, process.stderr
    lines = process.stdout.replace(str(path), "JSON").replace(str(folder), "coco").splitlines()
    size = "in 80 x 20 pixels; expected"
    assert [line for line in lines if re.search(r"  (train|validation): ", line)] == [
        "missing image  train: coco/train2017/3.png: no such file; JSON lists it",
        "annotation of an unknown category  train: JSON: annotation 1: annotation of an unknown category, "
        "category_id 2; expected an id in categories",
        "annotation of an unknown image  train: JSON: annotation 2: annotation of an unknown image, image_id 77; "
        "expected an id in images",
        "box without area  train: JSON: annotation 3: box without area, bbox [5, 2, -30, 10] "
        f"{size} a width and a height above 0",
        "box without area  train: JSON: annotation 4: box without area, bbox [5, 2, 30, 0] "
        f"{size} a width and a height above 0",
        "box outside of its image  train: JSON: annotation 5: box outside of its image, bbox [90, 2, 30, 10] "
        f"{size} a part inside of the image",
        "annotation id given twice  train: JSON: annotation 0: annotation id given twice, id 0; expected one",
        "too many objects  train: coco/train2017/0.png: has 3 objects; expected data.max_objects, 2, at most: "
        "the rest is left out",
        "wrong size  train: coco/train2017/0.png: is 20 x 40 pixels (height x width), but its annotation states "
        "20 x 80; expected the same, because boxes are in pixels of the upright image",
        'empty class  validation: class "dog": has no objects in this split',
        "duplicate  validation: coco/val2017/0.png: the same image as coco/train2017/2.png of train",
    ]
    assert re.search(r"^box without area +2$", process.stdout, re.M)
    assert re.search(r"^train +4 +2 +3 +1 +20 x 40 ", process.stdout, re.M)
    assert re.search(r"^validation +2 +1 +2 +1 ", process.stdout, re.M)
    assert "note: 3 with no objects, which are background alone; the first is coco/train2017/1.png" in lines
    assert re.search(r"^6 images in 2 splits, 2 classes, 5 objects, \d+ seconds: 11 findings$", process.stdout, re.M)
    with open(tmp_path / "findings.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 12

    path.write_text(path.read_text()[:-200])
    process = in_process("-m", "keras_resnet", "verify-data", f"coco:{folder}")
    assert process.returncode == 3
    assert re.fullmatch(rf"error: {path}: is not JSON \(.*\)\n", process.stderr)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify-data"], 2, "expected one data set"),
        (["verify-data", "digit"], 2, 'unknown name "digit"; did you mean "digits"?'),
        (["verify-data", "digits", "--set=train.seed=1"], 2, "expected data.key=value or task=NAME"),
        (["verify-data", "digits", "--set=data.max_objects=9"], 2, "data.max_objects: unknown key"),
        (["verify-data", "coco:x", "--set=data.max_objects=0"], 2, "data.max_objects: expected a whole number >= 1"),
        (["verify-data", "coco:x", "--set=data.mixup=0.1"], 2, "data.mixup: is for images of one class"),
        (["verify-data", "digits", "--set=task=detections"], 2, 'task: got "detections"; did you mean "detection"?'),
        (["verify-data", "voc:nowhere"], 2, "voc:nowhere: no such folder"),
        (["verify-data", "digits", "--set=data.clases=1"], 2, 'data.clases: unknown key; did you mean "classes"?'),
        (["verify-data", "digits", "--csv=nowhere/f.csv"], 2, "there is no folder nowhere"),
        (["verify-data", "folder:nowhere"], 3, "folder:nowhere: no such folder"),
        (["prepare-data", "photos"], 2, "expected two folders"),
        (["prepare-data", "docs", "x", "--quality=80"], 2, "--quality=80: requires --max_side"),
        (["prepare-data", "docs", "x", "--test_fraction=1"], 2, "--test_fraction: data.test_fraction: expected"),
        (["prepare-data", "docs", "tests"], 2, "tests: already exists and is not an empty folder; name another"),
    ],
)
def test_data_commands_user_error_is_one_line(arguments, code, message):
    process = in_process("-m", "keras_resnet", *arguments)
    assert process.returncode == code, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


def test_sample_images_of_a_csv_have_names_without_slashes(tmp_path):
    rows = "".join(f"{i}.png,{'cat/dog' if i % 2 else '../x'},old\n" for i in range(4))
    (tmp_path / "set.csv").write_text("file,species,age\n" + rows)
    for i in range(4):
        Image.fromarray(np.full((9, 8, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    sets = ["--set=data.csv.label=species", "--set=data.validation_fraction=0", "--set=data.test_fraction=0"]
    command = ["sample-images", f"csv:{tmp_path}/set.csv", "--split=train", "--count=2", f"--output={tmp_path}/out"]
    process = in_process(*command, *sets)
    assert process.returncode == 0, process.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["train0000_.._x.png", "train0001_cat_dog.png"]
    (tmp_path / "0.png").write_bytes(b"no image")
    process = in_process(*command, *sets)
    assert (process.returncode, process.stderr.count("\n")) == (3, 1)
    assert process.stderr.startswith(f"error: {tmp_path}/0.png: ")


def test_sample_images_of_many_channels_show_the_first_three(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "bands" / label).mkdir(parents=True)
        np.save(tmp_path / "bands" / label / "1.npy", np.arange(60, dtype=np.float32).reshape(3, 4, 5))
    sets = ["--set=data.channels=5", "--set=data.validation_fraction=0", "--set=data.test_fraction=0"]
    process = in_process(
        "sample-images", f"folder:{tmp_path}/bands", "--split=train", f"--output={tmp_path}/out", *sets
    )
    assert process.returncode == 0, process.stderr
    pixels = np.asarray(Image.open(tmp_path / "out/train0000_a.png"))
    assert (pixels.shape, pixels.min(), pixels.max()) == ((3, 4, 3), 0, 255)
