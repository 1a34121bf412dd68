"""Exports of weights without a run, in bfloat16 and strict mode; of mixed precision runs; without folding."""

import json

import numpy as np
import pytest
from conftest import TINY_RUN, cut_photographs, run

import keras_resnet


def report_of(output):
    return json.loads((output / "1" / "export_report.json").read_text())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """200 small JPEGs."""
    folder = tmp_path_factory.mktemp("images")
    cut_photographs(folder, 100)
    return folder


@pytest.fixture(scope="module")
def from_file(tmp_path_factory, images):
    """Returns (the network, the folder of an export of its weight file)."""
    import keras

    folder = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(0)
    model = keras_resnet.build(keras_resnet.SPECS["cifar_resnet8"], classes=3)
    keras_resnet.save_weights(model, str(folder / "three.safetensors"))
    (folder / "labels.txt").write_text("cat\ndog\nno animal, <b>\n")
    process = run(
        "export.py",
        f"--weights={folder / 'three.safetensors'}",
        f"--output={folder / 'out'}",
        f"--labels={folder / 'labels.txt'}",
        f"--images={images}",
        "--precision=bfloat16,int8",
        "--stages",
        "--version=5",
        "--set=export.on_invalid_image=fail",
        "--set=export.top_k=2",
        "--set=export.min_top1_agreement=0.5",
    )
    assert process.returncode == 0, process.stderr
    return model, folder / "out"


@pytest.mark.slow
def test_export_of_a_weight_file_matches_the_network_in_bfloat16(from_file, photographs):
    """The signature uses the preprocessing of the weights and gives the network's outputs in bfloat16."""
    import tensorflow as tf

    from keras_resnet.data.transforms import for_test

    model, output = from_file
    report = json.loads((output / "5" / "export_report.json").read_text())
    assert (report["version"], report["network"], report["settings"]["on_invalid_image"]) == (
        5,
        "cifar_resnet8",
        "fail",
    )
    kinds = [(artifact["format"], artifact["precision"]) for artifact in report["artifacts"]]
    # The second int8 file is the one of batch 1.
    assert kinds == [("saved_model", "bfloat16"), ("litert", "int8"), ("litert", "int8")]
    assert report["artifacts"][0]["parity"]["real_images"] == 100  # every second; the others calibrate
    loaded = tf.saved_model.load(str(output / "5"))
    content = next(photographs.rglob("*.jpeg")).read_bytes()
    image = for_test(tf.io.decode_jpeg(content, 3, dct_method="INTEGER_ACCURATE"), 32).numpy()
    scores = tf.nn.softmax(model.predict(image[None], verbose=0)[0]).numpy()
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant([content]))
    np.testing.assert_allclose(answer["scores"].numpy()[0], np.sort(scores)[::-1][:2], atol=0.02)
    labels = [b"cat", b"dog", b"no animal, <b>"]
    assert answer["labels"].numpy()[0].tolist() == [labels[i] for i in answer["classes"].numpy()[0]]
    stages = loaded.signatures["stages"](images=tf.zeros((2, 32, 32, 3)))
    assert {name: tuple(value.shape) for name, value in stages.items()} == {
        "stage1": (2, 32, 32, 16), "stage2": (2, 16, 16, 32), "stage3": (2, 8, 8, 64),
    }  # fmt: skip


@pytest.mark.slow
def test_strict_export_names_the_row_of_an_invalid_image(from_file):
    import tensorflow as tf

    answer = tf.saved_model.load(str(from_file[1] / "5")).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1 has 0 bytes"):
        answer(image_bytes=tf.constant([tf.io.encode_jpeg(np.zeros((9, 9, 3), np.uint8)).numpy(), b""]))


def test_export_of_weights_needs_int8_images_and_matching_labels(tmp_path):
    weights = tmp_path / "three.safetensors"
    keras_resnet.save_weights(keras_resnet.CIFARResNet(8, classes=3), str(weights))
    process = run("export.py", f"--weights={weights}", f"--output={tmp_path / 'out'}", "--precision=int8")
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1].startswith(
        "error: --precision=int8: needs 100 images or more to be compared on, there are 64: --images=FOLDER names 200"
    )
    (tmp_path / "labels.txt").write_text("one\n")
    process = run(
        "export.py", f"--weights={weights}", f"--output={tmp_path / 'out'}", f"--labels={tmp_path}/labels.txt"
    )
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1].endswith("labels.txt: has 1 lines, the weights have 3 classes")


@pytest.mark.slow
@pytest.mark.parametrize("optimize", ["fold", "none"])
def test_export_of_a_mixed_precision_run_on_two_replicas(tmp_path, optimize):
    flags = [f"--set={assignment}" for assignment in (*TINY_RUN, "train.precision=mixed_bfloat16")]
    trained = run("train.py", "--strategy=mirrored", "--virtual_devices=2", f"--workdir={tmp_path / 'run'}", *flags)
    assert trained.returncode == 0, trained.stderr
    output = tmp_path / "out"
    process = run("export.py", f"--workdir={tmp_path / 'run'}", f"--output={output}", f"--optimize={optimize}")
    assert process.returncode == 0, process.stderr
    artifact = report_of(output)["artifacts"][0]
    assert artifact["parity"]["relative_error"] <= 1e-5
    weights = artifact["operators"]["ReadVariableOp"]
    assert (weights == 2 * 20) == (optimize == "fold")  # kernels and biases of 20 layers, and nothing of normalization
