"""Tests images of four and more channels: reading, statistics, training, resuming, exports and predictions."""

import io
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY_RUN, in_process
from image_kinds_rig import check_exports_agree, check_resumed_run_has_the_same_bits
from PIL import Image

from keras_resnet.config import Config, Data
from keras_resnet.config.multilabel import MultilabelConfig
from keras_resnet.data.arrays import read_array, visible
from keras_resnet.data.decode import decode, decode_crop
from keras_resnet.data.folder import load_folder
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.statistics import channel_statistics
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.task import load_task

BANDS = np.arange(6 * 7 * 5, dtype=np.uint16).reshape(6, 7, 5) * 50  # values far above 255


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_read_array_keeps_the_units_of_npy(dtype):
    values = (BANDS // 50).astype(dtype)
    found = read_array(npy(values), 5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values)


def test_decode_reads_arrays_in_a_graph_and_in_part():
    content = tf.constant(npy(BANDS))
    np.testing.assert_array_equal(decode(content, 5), BANDS)
    part = tf.function(
        lambda: decode_crop(content, lambda height, width: tf.stack([1, 2, height - 3, width - 4]), 5, 2)
    )
    np.testing.assert_array_equal(part(), BANDS[1:4, 2:5])


def test_read_array_of_a_tiff_with_alpha_by_pillow():
    stream = io.BytesIO()
    values = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    Image.fromarray(values, "RGBA").save(stream, "TIFF")
    np.testing.assert_array_equal(read_array(stream.getvalue(), 4), values)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_read_array_of_a_tiff_of_five_channels(planar):
    """The planes of a separate layout come first in the file."""
    tifffile = pytest.importorskip("tifffile")
    stream, values = io.BytesIO(), BANDS if planar == "contig" else np.moveaxis(BANDS, 2, 0)
    tifffile.imwrite(stream, values, photometric="minisblack", planarconfig=planar)
    np.testing.assert_array_equal(read_array(stream.getvalue(), 5), BANDS)


def test_missing_tifffile_is_one_line_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(DataError, match=r'needs tifffile: pip install "keras-residual-networks\[tiff\]"'):
        read_array(b"II*\0" + bytes(20), 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(BANDS[..., :4]), "has the shape (6, 7, 4); expected (height, width, 5) by data.channels"),
        (npy(np.moveaxis(BANDS, 2, 0)), "has the shape (5, 6, 7); expected (height, width, 5)"),
        (npy(np.where(BANDS > 9, np.nan, 1.0)), "has values that are not finite"),
        (npy(BANDS.astype(str)), "has values of type"),
        (npy(np.array([{}])), "is a damaged .npy, or one of objects"),
        (npy(BANDS)[:-9], "is a damaged .npy"),
        (npy(np.zeros((1, 65, 5))), "is more than 64 times as long as it is wide"),
        (b"\x89PNG", "is neither .npy nor TIFF, from which images of 5 channels are read"),
    ],
)
def test_wrong_array_has_a_reason(content, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_array(content, 5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(message)):
        decode(tf.constant(content), 5)


def test_visible_stretches_the_first_three_channels():
    values = np.zeros((1, 2, 5), np.float32)
    values[0, 1] = [10, 1000, -4, 7, 7]
    assert visible(values).tolist() == [[[0, 0, 255], [255, 255, 0]]]


def folder(root, count=8):
    random = np.random.RandomState(0)
    for name, low in (("field", 1000), ("water", 3000)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            values = low + random.randint(0, 900, (20 + i, 24, 5)) * np.array([1, 2, 1, 1, 3])
            np.save(root / name / f"{i}.npy", values.astype(np.uint16))
    (root / "field" / "notes.png").write_bytes(b"no array")
    return root


def test_channel_statistics_by_hand(tmp_path):
    """Two images of 1 and 3 pixels: channel 0 has the values 1, 3, 3, 5 with mean 3 and variance 8 / 4."""
    for name, values in (("a", [[1]]), ("b", [[3, 3, 5]])):
        (tmp_path / name).mkdir()
        array = np.asarray(values, np.float32)[..., None] * np.array([1, 10, 100, 0], np.float32)
        np.save(tmp_path / name / "0.npy", array)
    data = Data(name=f"folder:{tmp_path}", channels=4, validation_fraction=0.0, test_fraction=0.0)
    mean, std, count = channel_statistics(data)
    np.testing.assert_allclose(mean, [3, 30, 300, 0])
    np.testing.assert_allclose(std, np.sqrt(2) * np.array([1, 10, 100, 0]))
    assert count == 2


def test_load_folder_lists_arrays_only(tmp_path):
    images = load_folder(Data(name=f"folder:{folder(tmp_path)}", channels=5))
    assert images.image_shape == (None, None, 5)
    assert sum(split.size for split in images.splits.values()) == 16
    assert images.passed_over == {".png": 1}


MEAN, STD = [1500, 2000, 1500, 1500, 2500], [1000, 1000, 900, 900, 1500]


def config(root, **data):
    values = {"name": f"folder:{root}", "channels": 5, "image_size": [16, 24]} | data
    model = {"name": "cifar_resnet8", "mean": MEAN, "std": STD}
    return {"model": model, "data": values, "train": {"steps": 1, "batch_size": 4}, "export": {"top_k": 1}}


def test_task_reads_and_augments_arrays(tmp_path):
    more = {"crop": "random_resized", "horizontal_flip": True, "mixup": 0.2, "cutmix": 1.0, "random_crop_padding": 2}
    task = load_task(Config.model_validate(config(folder(tmp_path), **more)))
    (images, _), _ = next(iter(task.train_dataset(0, Shard(0, 1, 4))))
    assert images.shape == (4, 16, 24, 5)
    assert images.numpy().max() > 3000
    model = task.build_model()
    assert model.input_shape == (None, 16, 24, 5)
    normalized = model.get_layer("preprocessing")(np.ones((1, 1, 1, 5), np.float32) * np.float32(MEAN)).numpy()
    np.testing.assert_allclose(normalized, 0, atol=1e-6)


@pytest.mark.parametrize("kind", [Config, MultilabelConfig])
def test_csv_of_arrays(tmp_path, kind):
    """Names without a suffix; the values keep their units for one label and for several."""
    folder(tmp_path / "bands")
    rows = [f"{name}/{i},{name},{'test' if i == 7 else 'train'}" for name in ("field", "water") for i in range(8)]
    (tmp_path / "bands/list.csv").write_text("\n".join(["image,label,split", *rows]))
    values = config(tmp_path, name=f"csv:{tmp_path}/bands/list.csv", csv={"suffix": ".npy"})
    loaded = load_task(kind.model_validate(values))
    assert loaded.sizes["test"] == 2
    (images, targets), _ = next(iter(loaded.train_dataset(0, Shard(0, 1, 4))))
    assert images.shape == (4, 16, 24, 5)
    assert images.numpy().max() > 3000
    assert targets.shape == (4, 2)
    mean, _, count = channel_statistics(loaded.config.data)
    arrays = [np.load(path).reshape(-1, 5) for path in (tmp_path / "bands").rglob("[0-6].npy")]
    assert count == loaded.train_size == len(arrays) - loaded.sizes["validation"]
    assert abs(mean[0] - np.concatenate(arrays).mean(0)[0]) < 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"pca_lighting": True}}, "data.pca_lighting: is for images in color"),
        ({"data": {"randaugment_num_ops": 2}}, "data.randaugment_num_ops: is for images in color"),
        ({"data": {"auto_augment": "augmix"}}, "data.auto_augment: is for images in color"),
        ({"data": {"random_erasing": 0.1}}, "data.random_erasing: is for images in color"),
        (
            {"data": {"name": "digits"}},
            "data.channels: is for the classification of folder:PATH and csv:PATH, not",
        ),
        ({"eval": {"interpolation": "bicubic"}}, "eval.interpolation: bicubic limits values to 0 to 255"),
    ],
)
def test_what_needs_colors_is_refused_in_one_line(tmp_path, changes, message):
    sets = {"data.name": "folder:x", "data.channels": 5} | {
        f"{group}.{key}": value for group, keys in changes.items() for key, value in keys.items()
    }
    process = in_process("-m", "keras_resnet", "train", *(f"--set={key}={value}" for key, value in sets.items()))
    assert process.returncode == 2
    assert message in process.stderr.splitlines()[-1]


def test_missing_mean_names_the_command_that_prints_it(tmp_path):
    folder(tmp_path)
    (tmp_path / "list.csv").write_text("image,label\nfield/0,field\nwater/0,water\n")
    values = config(tmp_path, name=f"csv:{tmp_path}/list.csv", csv={"suffix": ".npy"})
    del values["model"]["mean"]
    command = r"verify-data csv:\S+ --set data.channels=5 --set data.csv.suffix=.npy --statistics"
    with pytest.raises(
        ConfigError, match=rf"model.mean: expected 5 numbers for data.channels; `keras-resnet {command}`"
    ):
        load_task(Config.model_validate(values))


@pytest.mark.parametrize(
    ("name", "count", "key"), [("synthetic", 1, "mean"), ("digits", 2, "mean"), ("synthetic", 4, "std")]
)
def test_mean_and_std_of_another_number_of_channels_end_in_one_line(tmp_path, name, count, key):
    sets = [f"data.name={name}", "data.classes=2", "data.image_size=8", f"model.{key}={[9.0] * count}"]
    process = in_process(
        "-m", "keras_resnet", "train", f"--workdir={tmp_path}/run", *(f"--set={each}" for each in sets)
    )
    assert process.returncode == 2
    assert re.search(rf"^error: .*model.{key}: expected 3 numbers.*, got \[9.0", process.stderr.splitlines()[-1])
    assert not (tmp_path / "run").exists()


def test_verify_data_prints_the_lines_to_paste(tmp_path):
    root = folder(tmp_path / "bands")
    np.save(root / "field" / "9.npy", BANDS[..., :4])
    flags = ("--set=data.channels=5", "--set=data.validation_fraction=0", "--set=data.test_fraction=0")
    process = in_process("-m", "keras_resnet", "verify-data", f"folder:{root}", *flags, "--statistics")
    assert process.returncode == 3
    assert "has the shape (6, 7, 4); expected (height, width, 5) by data.channels" in process.stdout
    assert "Over all pixels of 16 training images" in process.stdout
    lines = [json.loads(line.partition(":")[2]) for line in process.stdout.splitlines() if line.startswith("  mean:")]
    arrays = [np.load(path).reshape(-1, 5) for path in root.rglob("[0-8].npy")]
    np.testing.assert_allclose(lines[0], np.concatenate(arrays).mean(0), rtol=1e-5)


def flags(root, name, *more):
    sets = ["model.name=cifar_resnet8", f"model.mean={MEAN}", f"model.std={STD}", f"data.name=folder:{root / 'bands'}"]
    sets += ["data.image_size=[16,24]", "data.channels=5", *TINY_RUN, "train.warmup_steps=0", "train.batch_size=4"]
    return ["--config=folder/scratch", f"--workdir={root / name}", *(f"--set={each}" for each in (*sets, *more))]


@pytest.fixture(scope="module")
def bands(tmp_path_factory):
    from conftest import run

    root = tmp_path_factory.mktemp("arrays")
    folder(root / "bands")
    process = run("train.py", *flags(root, "run"))
    assert process.returncode == 0, process.stderr
    return root


@pytest.mark.slow
def test_export_and_predict_agree_on_arrays(bands, cli):
    assert (bands / "run/examples.png").stat().st_size > 5000
    assert "Images are arrays of 5 channels in the units of the training files" in (bands / "run/README.md").read_text()
    process = cli("-m", "keras_resnet", "evaluate", bands / "run", f"--report={bands / 'report'}")
    assert process.returncode == 0, process.stderr
    check_exports_agree(bands, bands / "bands/field", "field", [16, 24, 5])
    plot = f"--plot={bands / 'heat.png'}"
    process = cli("-m", "keras_resnet", "predict", bands / "run", bands / "bands/water", "--explain=grad_cam", plot)
    assert process.returncode == 0, process.stderr
    process = cli("-m", "keras_resnet", "predict", bands / "export", bands / "bands/field/notes.png")
    assert process.returncode == 3
    assert "is neither .npy nor TIFF" in process.stdout
    process = cli("export.py", f"--workdir={bands / 'run'}", f"--output={bands / 'int8'}", "--precision=int8")
    assert process.returncode == 2
    assert "--precision=int8: classifiers are exported in float32, float16, bfloat16, dynamic" in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_resumed_run_has_the_bits_of_an_undisturbed_one(bands, replicas):
    check_resumed_run_has_the_same_bits(bands, lambda name: flags(bands, name), replicas)
