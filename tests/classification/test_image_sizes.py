"""Tests images that are not square, from training to exports, and that squares stay as they were."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY_RUN, in_process
from image_kinds_rig import check_exports_agree, check_resumed_run_has_the_same_bits
from PIL import Image

from keras_resnet.classification.protocols import ten_crops
from keras_resnet.config import Config
from keras_resnet.config.data import AUGMENTATION_POLICIES
from keras_resnet.data import transforms
from keras_resnet.data.augmentation import augment, draw_mix
from keras_resnet.data.decode import decode_crop
from keras_resnet.data.pipeline import Shard
from keras_resnet.description import Description, Preprocessing
from keras_resnet.errors import ConfigError
from keras_resnet.inference.images import prepare_with_pillow
from keras_resnet.specs import SPECS
from keras_resnet.task import load_task

WIDE = (24, 40)
SEED = tf.constant([3, 5], tf.int64)


def places(height, width):
    """Returns an image whose pixel (y, x) is (y, x, 0)."""
    rows, columns = np.mgrid[:height, :width]
    return tf.constant(np.stack([rows, columns, 0 * rows], -1).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "first"),
    [
        ((24, 40), (0, 0)),  # fits exactly
        ((24, 60), (0, 10)),  # wider: the height fits
        ((64, 40), (20, 0)),  # higher: the width fits
    ],
)
def test_for_test_crops_the_center_of_an_image_that_covers(size, first):
    image = transforms.for_test(places(*size), WIDE).numpy()
    assert image.shape == (24, 40, 3)
    assert tuple(image[0, 0, :2]) == first
    assert tuple(image[-1, -1, :2]) == (first[0] + 23, first[1] + 39)


def test_for_test_with_crop_pct_resizes_to_cover():
    """48 x 80 pixels cover 24 / 0.75 = 32 and 40 / 0.75 = 53.3, rounded to 53, at 0.6667; then the center is cut."""
    assert transforms.covered(WIDE, 0.75) == (32, 53)
    ramp = places(48, 80)
    image = transforms.for_test(ramp, WIDE, 0.75).numpy()
    whole = transforms.resize_to_cover(ramp, (32, 53)).numpy()
    assert whole.shape == (32, 53, 3)
    np.testing.assert_array_equal(image, whole[4:28, 6:46])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(90, 70), (30, 120), (24, 40)])
def test_pillow_path_prepares_the_same_pixels(shape, interpolation):
    pixels = np.random.RandomState(0).randint(0, 256, (*shape, 3)).astype(np.uint8)
    preprocessing = Preprocessing(image_size=WIDE, channels=3, crop_pct=0.8, interpolation=interpolation)
    expected = transforms.prepare(tf.constant(pixels), preprocessing).numpy()
    found = prepare_with_pillow(pixels, preprocessing, WIDE)
    assert found.shape == expected.shape == (24, 40, 3)
    np.testing.assert_allclose(found, expected, atol=0.01)  # of 255


def test_prepare_batch_resizes_images_of_other_sizes():
    preprocessing = Preprocessing(image_size=WIDE, channels=3, crop_pct=1.0)
    batch = tf.stack([places(48, 90), places(48, 90)])
    expected = transforms.prepare(places(48, 90), preprocessing)
    np.testing.assert_allclose(transforms.prepare_batch(batch, preprocessing), [expected] * 2, atol=1e-4)
    same = tf.stack([places(24, 40)])
    np.testing.assert_array_equal(transforms.prepare_batch(same, preprocessing), tf.cast(same, tf.float32))


EVERYTHING = {"random_crop_padding": 4, "horizontal_flip": True, "pca_lighting": True, "randaugment_num_ops": 2}
EVERYTHING |= {"random_erasing": 0.5, "mixup": 0.2, "cutmix": 1.0, "resize_range": [40, 60]}


@pytest.mark.parametrize("crop", ["center", "scale_jitter", "random_resized"])
def test_augment_with_every_augmentation_gives_the_size(crop):
    config = Config.model_validate({"data": {**EVERYTHING, "crop": crop}, "train": {"steps": 1}})
    run = tf.function(lambda seed: augment(places(100, 70), WIDE, 3, config.data, seed), autograph=False)
    images = [run(tf.constant([0, i], tf.int64)).numpy() for i in range(4)]
    assert all(image.shape == (24, 40, 3) and np.isfinite(image).all() for image in images)
    assert len({image.tobytes() for image in images}) == 4


@pytest.mark.parametrize("policy", AUGMENTATION_POLICIES)
def test_augment_with_a_policy_gives_the_size(policy):
    config = Config.model_validate({"data": {"auto_augment": policy}, "train": {"steps": 1}})
    run = tf.function(lambda seed: augment(places(100, 70), WIDE, 3, config.data, seed), autograph=False)
    images = [run(tf.constant([0, i], tf.int64)).numpy() for i in range(8)]
    assert {image.shape for image in images} == {(24, 40, 3)}
    assert len({image.tobytes() for image in images}) > 1


def test_scale_crop_takes_the_share_of_both_sides():
    """Of an image of 80 x 100 whose shorter side is seen as 40, 24 x 40 pixels are 48 x 80 of its own."""
    top, left, height, width = transforms.scale_crop(WIDE, (40, 40), SEED)(80, 100).numpy()
    assert (height, width) == (48, 80)
    assert 0 <= top <= 32
    assert 0 <= left <= 20


def test_random_resized_crop_has_the_aspect_ratio_of_the_result():
    ratios = []
    for i in range(40):
        _, _, h, w = transforms.resized_crop((0.1, 0.3), tf.constant([0, i]), 3, 40 / 24)(300, 300).numpy()
        ratios.append(w / h)
    assert 3 / 4 * 40 / 24 - 0.05 <= min(ratios) < 1.4
    assert 2.0 < max(ratios) <= 4 / 3 * 40 / 24 + 0.05


def test_decode_crop_of_a_jpeg_is_not_smaller_than_either_side():
    """A part of 48 x 160 pixels is decoded at 1/2 for 24 x 40: at 1/4, its height would be too small."""
    content = tf.io.encode_jpeg(places(200, 200))
    box = tf.constant([0, 0, 48, 160])
    for least, shape in ((WIDE, (24, 80)), ((12, 40), (12, 40)), ((12, 41), (24, 80))):
        assert decode_crop(content, lambda h, w: box, 3, least).shape[:2] == shape


def test_draw_mix_cuts_a_box_of_the_images_shape():
    """Its height and width have the ratio of the image's, unless the edge cuts it off."""
    shares = [draw_mix(WIDE, 0.0, 1.0, tf.constant([0, i])).numpy()[..., 0] for i in range(60)]
    assert all(share.shape == WIDE for share in shares)
    whole = 0
    for share in shares:
        rows, columns = ((share == 0).any(axis).sum() for axis in (1, 0))
        inside = (share[[0, -1]] == 1).all() and (share[:, [0, -1]] == 1).all()
        if inside and rows:
            whole += 1
            assert abs(columns / rows - 40 / 24) < 0.5
    assert whole > 3


def test_ten_crops_of_a_wide_image():
    crops = ten_crops(tf.cast(places(26, 44), tf.float32), WIDE).numpy()
    assert crops.shape == (10, 24, 40, 3)
    corners = [tuple(crop[0, 0, :2]) for crop in crops[:5]]
    assert corners == [(0, 0), (0, 4), (2, 0), (2, 4), (1, 2)]


def test_equal_sides_are_one_number():
    """So that [64, 64] and 64 are one configuration with one folder."""
    digests = [
        Config.model_validate({"data": {"image_size": size}, "train": {"steps": 1}}).digest()
        for size in (64, [64, 64], [64, 80])
    ]
    assert digests[0] == digests[1] != digests[2]
    assert Preprocessing(image_size=(8, 8)) == Preprocessing(image_size=8)


def test_description_keeps_the_size_through_json():
    wide = Preprocessing(image_size=WIDE, channels=3)
    description = Description(spec=SPECS["cifar_resnet20"], preprocessing=wide, labels=("a", "b"))
    assert Description.from_json(description.to_json()) == description
    assert wide.image_shape == (24, 40, 3)


def test_task_and_model_have_the_size():
    values = {"model": {"name": "cifar_resnet8"}, "data": {"name": "synthetic", "image_size": [24, 40]}}
    config = Config.model_validate(values | {"train": {"steps": 1, "batch_size": 8}})
    assert Config.model_validate(json.loads(config.model_dump_json())) == config
    task = load_task(config)
    (images, _), _ = next(iter(task.train_dataset(0, Shard(0, 1, 8))))
    assert images.shape == (8, 24, 40, 3)
    assert task.build_model().input_shape == (None, 24, 40, 3)


def test_crops_that_do_not_fit_are_refused_for_training_only():
    """An evaluation at another size needs no crops of training."""
    data = {"name": "synthetic", "image_size": 48, "crop": "scale_jitter", "resize_range": [40, 64]}
    config = Config.model_validate({"model": {"name": "cifar_resnet8"}, "data": data, "train": {"steps": 1}})
    with pytest.raises(ConfigError, match=r"data\.resize_range: a shorter side of 40 is less than 48 in training"):
        load_task(config).check_training()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("train", "--config=detection/scenes", "--set=data.image_size=[64,128]"), "networks of boxes take squares"),
        (("train", "--set=data.image_size=[64,128,3]"), "or [height, width] of such, got [64, 128, 3]"),
        (("summary", "resnet18", "--image_size=64x"), "expected a number of pixels >= 8, or HEIGHTxWIDTH"),
    ],
)
def test_wrong_size_is_one_line(command, message):
    process = in_process("-m", "keras_resnet", *command)
    assert process.returncode == 2
    assert message in process.stderr.splitlines()[-1]


def test_summary_of_a_wide_image():
    """The stem and each stage halve both sides: 64 x 128 become 2 x 4."""
    process = in_process("-m", "keras_resnet", "summary", "resnet18", "--image_size=64x128")
    assert process.returncode == 0, process.stderr
    assert "2x4" in process.stdout
    assert "for an image of 64x128" in process.stdout


@pytest.fixture(scope="module")
def wide_run(tmp_path_factory):
    from conftest import run

    root = tmp_path_factory.mktemp("wide")
    random = np.random.RandomState(0)
    for name, low in (("dark", 0), ("light", 100)):
        (root / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = random.randint(low, low + 100, (30 + i, 60 - i, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name / f"{i}.png")
    process = run("train.py", *flags(root, "run"))
    assert process.returncode == 0, process.stderr
    return root


def flags(root, name, *more):
    sets = ["model.name=cifar_resnet8", f"data.name=folder:{root / 'photos'}", "data.image_size=[24,40]", *TINY_RUN]
    sets += ["data.mixup=0.2", "data.cutmix=1.0", "train.warmup_steps=0", "train.batch_size=4"]
    sets += more
    return ["--config=folder/scratch", f"--workdir={root / name}", *(f"--set={each}" for each in sets)]


@pytest.mark.slow
def test_export_and_predict_agree_on_wide_images(wide_run, cli):
    process = cli("-m", "keras_resnet", "evaluate", wide_run / "run", "--protocol=ten_crop")
    assert process.returncode == 0, process.stderr
    process = cli("-m", "keras_resnet", "evaluate", wide_run / "run", "--protocol=multi_scale")
    assert process.returncode == 2
    assert "scales are shorter sides, and the network takes 24x40" in process.stderr
    check_exports_agree(wide_run, wide_run / "photos/dark", "dark", [24, 40, 3])
    process = cli(
        "-m",
        "keras_resnet",
        "predict",
        wide_run / "run",
        wide_run / "photos/dark/0.png",
        "--explain=grad_cam",
        f"--plot={wide_run / 'heat.png'}",
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_resumed_run_has_the_bits_of_an_undisturbed_one(wide_run, replicas):
    """Stopped by SIGTERM, which saves a checkpoint: the same files, with one and with two replicas."""
    check_resumed_run_has_the_same_bits(wide_run, lambda name: flags(wide_run, name), replicas)
