"""Tests that a run does not depend on its data set: it predicts, exports and is packaged without it."""

import json
import os
import shutil

import numpy as np
import pytest
from conftest import cut_photographs, run
from PIL import Image

import keras_resnet

pytestmark = pytest.mark.slow  # a run of its own

SETTINGS = (
    "model.name=cifar_resnet8",
    "data.image_size=24",
    "data.validation_fraction=0.25",
    "train.epochs=null",
    "train.steps=4",
    "train.batch_size=16",
    "train.warmup_steps=0",
    "train.eval_every=2",
    "eval.batch_size=16",
    "eval.crop_pct=0.75",
    "eval.interpolation=bicubic",
)


def train(photos, workdir, *more):
    flags = [f"--set={each}" for each in (f"data.name=folder:{photos}", *SETTINGS, *more)]
    return run("train.py", "--config=configs/folder/scratch.yaml", f"--workdir={workdir}", *flags)


def command(*arguments):
    process = run("-m", "keras_resnet", *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout


def predictions(model, image):
    (entry,) = json.loads(command("predict", model, image, "--format=json"))
    return [(each["label"], round(each["score"], 5)) for each in entry["predictions"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns (the run's folder, the folder of its images, one image)."""
    folder = tmp_path_factory.mktemp("trained")
    photos = folder / "photos"
    photos.mkdir()
    cut_photographs(photos, 240)
    process = train(photos, folder / "run")
    assert process.returncode == 0, process.stderr
    image = shutil.copy(next(photos.glob("china/*")), folder / "picture.jpg")
    return folder / "run", photos, image


@pytest.fixture(scope="module")
def moved(trained, tmp_path_factory):
    """Returns (a copy of the run at another path, without its data set; the predictions before copying)."""
    original, photos, image = trained
    before = predictions(original, image)
    folder = tmp_path_factory.mktemp("elsewhere") / "copied"
    shutil.copytree(original, folder)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace(str(photos), "/no/such/folder"))
    for weights in (folder / "weights").glob("*"):  # their configuration names the data set too
        weights.write_bytes(weights.read_bytes().replace(str(photos).encode(), b"?" * len(str(photos).encode())))
    return folder, before


def test_evaluate_equals_last_validation(trained, tmp_path):
    command("evaluate", trained[0], "--checkpoint=last", f"--report={tmp_path}")
    measured = json.loads((tmp_path / "evaluation.json").read_text())
    validation = json.loads((trained[0] / "results.json").read_text())["validation"]
    assert measured["error"]["percent"] == pytest.approx(validation["error"], abs=1e-12)
    assert measured["loss"] == pytest.approx(validation["loss"], rel=1e-6)


def test_predict_copied_run_without_data_set(moved, trained):
    folder, before = moved
    assert predictions(folder, trained[2]) == before
    assert predictions(folder / "weights" / "last.safetensors", trained[2])


def test_export_copied_run_calibrates_on_stored_images(moved, trained, tmp_path):
    folder, before = moved
    flags = ("--precision=float32,int8", "--set=export.min_top1_agreement=0.5")
    process = run("export.py", f"--workdir={folder}", f"--output={tmp_path / 'out'}", *flags)
    assert process.returncode == 0, process.stderr
    assert "no such folder\n  verifying on images that the run keeps instead" in process.stdout
    report = json.loads((tmp_path / "out" / "1" / "export_report.json").read_text())
    compared = [each["parity"]["real_images"] for each in report["artifacts"] if "batch" not in each]
    assert compared == [100, 100, 100]
    for artifact in ("out", "out/litert/1.tflite"):
        exported = predictions(tmp_path / artifact, trained[2])
        assert [label for label, _ in exported] == [label for label, _ in before]
        np.testing.assert_allclose([s for _, s in exported], [s for _, s in before], atol=1e-4)


def test_package_and_benchmark_copied_run(moved, tmp_path):
    folder, _ = moved
    command("package-for-hub", folder, tmp_path / "package")
    description = keras_resnet.from_weights(str(tmp_path / "package")).description
    assert description.labels == ("a flower", "china")
    preprocessing = description.preprocessing
    assert (preprocessing.image_size, preprocessing.crop_pct, preprocessing.interpolation) == (24, 0.75, "bicubic")
    assert "120 validation" in (tmp_path / "package" / "README.md").read_text()
    assert "cifar" not in command("benchmark", folder, "--batch_sizes=1", "--seconds=0.1").splitlines()[0]


def test_export_without_stored_images_uses_sample_photographs(moved, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(moved[0], folder)
    os.remove(folder / "example_images.npz")
    process = run("export.py", f"--workdir={folder}", f"--output={tmp_path / 'out'}", "--precision=int8")
    assert process.returncode == 2
    assert "verifying on parts of two photographs instead" in process.stdout
    assert (
        "needs 100 images or more to be compared on, there are 64: --images=FOLDER" in process.stderr.splitlines()[-1]
    )
    assert not list((tmp_path / "out").glob("[!.]*"))


@pytest.fixture
def renamed(trained):
    """Yields the run while a class folder of its data set has another name."""
    original, photos, _ = trained
    os.rename(photos / "china", photos / "a bird")
    yield original
    os.rename(photos / "a bird", photos / "china")


def test_predict_keeps_class_names_after_folder_rename(renamed, moved, trained):
    assert predictions(renamed, trained[2]) == moved[1]


@pytest.mark.parametrize("action", ["evaluate", "resume"])
def test_changed_classes_error_lists_both_class_lists(renamed, trained, action):
    if action == "evaluate":
        process = run("-m", "keras_resnet", "evaluate", renamed)
    else:
        os.rename(renamed / "results.json", renamed / "results")
        process = train(trained[1], renamed)
        os.rename(renamed / "results", renamed / "results.json")
    assert process.returncode == 3
    line = process.stderr.splitlines()[-1]
    assert '"a bird", "a flower" (2), not "a flower", "china" (2)' in line
    assert "Traceback" not in process.stderr


def test_predict_and_evaluate_ignore_keras_json(trained, moved, tmp_path):
    settings = {"image_data_format": "channels_first", "floatx": "float16", "backend": "tensorflow"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    weights = trained[0] / "weights" / "best.safetensors"
    arguments = ("-m", "keras_resnet", "predict", weights, trained[2], "--format=json")
    plain, other = (run(*arguments, env=env).stdout for env in ({}, {"KERAS_HOME": str(tmp_path)}))
    assert json.loads(plain) == json.loads(other)
    process = run("-m", "keras_resnet", "evaluate", weights, env={"KERAS_HOME": str(tmp_path)})
    assert process.returncode == 0, process.stderr


def test_train_std_in_0_to_1_units_is_refused(trained, tmp_path):
    process = train(trained[1], tmp_path / "run", "model.std=[0.229,0.224,0.225]")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == (
        "error: --set: model.std: got 0.229, 0.224, 0.225, but images are in [0, 255]: expected numbers from 1 to 255; "
        '"0.229, 0.224, 0.225" for images in [0, 1] is "58.395, 57.12, 57.375" here'
    )


def test_evaluate_refuses_model_settings(trained):
    process = run("-m", "keras_resnet", "evaluate", trained[0], "--set=model.version=2")
    assert process.returncode == 2
    assert process.stderr.startswith("error: --set=model.version=2: expected a key of the group data or eval")


def test_evaluate_published_bicubic_weights_equals_pillow(tmp_path):
    """`evaluate timm/...` of a seeded network equals the loss of its logits on images resized and cropped by Pillow."""
    import keras
    import seeded
    from conftest import GOLDEN
    from safetensors.numpy import save_file

    name, side, crop = "timm/resnet18.a3_in1k", 224, 0.95
    listing = json.loads((GOLDEN / "torchvision_resnet18.json").read_text())
    state = {tensor: seeded.tensor(tensor, shape, dtype) for tensor, shape, dtype in listing}
    cached = tmp_path / "home" / "keras_resnet" / name / "model.safetensors"
    cached.parent.mkdir(parents=True)
    save_file(state, cached)
    random, expected = np.random.RandomState(0), {Image.Resampling.BICUBIC: [], Image.Resampling.BILINEAR: []}
    model = keras_resnet.from_weights(str(cached), classifier_activation=None)
    for label in range(1000):  # a folder per class, as ImageNet has them
        folder = tmp_path / "images" / "train" / f"{label:03d}"
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "x.png")
    for label in range(0, 1000, 125):
        folder = tmp_path / "images" / "val" / f"{label:03d}"
        folder.mkdir(parents=True)
        height, width = random.randint(40, 80, 2)
        picture = Image.fromarray(random.randint(0, 256, (height, width, 3)).astype(np.uint8))
        picture.save(folder / "x.png")
        scale = round(side / crop) / min(height, width)
        for interpolation, losses in expected.items():
            resized = picture.resize((round(width * scale), round(height * scale)), interpolation)
            left, top = (resized.width - side) // 2, (resized.height - side) // 2
            pixels = np.asarray(resized.crop((left, top, left + side, top + side)), np.float32)
            logits = np.asarray(model(pixels[None]), np.float64)[0]
            losses.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])
    keras.backend.clear_session()
    arguments = ("evaluate", name, f"--set=data.name=folder:{tmp_path / 'images'}", f"--report={tmp_path / 'report'}")
    process = run("-m", "keras_resnet", *arguments, env={"KERAS_HOME": str(tmp_path / "home")})
    assert process.returncode == 0, process.stderr
    loss = json.loads((tmp_path / "report" / "evaluation.json").read_text())["loss"]
    bicubic, bilinear = map(np.mean, expected.values())
    print(loss, bicubic, bilinear)
    assert loss == pytest.approx(bicubic, rel=2e-3)  # Pillow rounds to whole numbers after each of two passes
    assert abs(loss - bilinear) > 10 * abs(loss - bicubic)
