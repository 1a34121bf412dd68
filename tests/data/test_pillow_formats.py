"""Tests AVIF, TIFF and HEIC, which Pillow decodes, in every command that reads image files."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY_RUN, in_process
from PIL import Image, ImageOps

from keras_resnet.config import Data
from keras_resnet.data.decode import decode, decode_crop
from keras_resnet.data.folder import load_folder
from keras_resnet.data.pillow_formats import decode_pillow_format, pillow_format, pillow_header
from keras_resnet.data.pipeline import unreadable
from keras_resnet.data.prepare import convert
from keras_resnet.data.verify import verify
from keras_resnet.errors import ConfigError, DataError

BYTES = np.arange(240, dtype=np.uint8).reshape(12, 20)
COLORS = np.stack([BYTES, BYTES[::-1], BYTES[:, ::-1]], -1)
VALUES = (BYTES.astype(np.uint16) << 8) + 200


def saved(pixels, kind="TIFF", mode=None, **options):
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


RGBA = np.concatenate([COLORS, np.where(BYTES % 2, 255, 0).astype(np.uint8)[..., None]], -1)
GRAY = np.repeat(BYTES[..., None], 3, -1)
FILES = {
    "tiff": (saved(COLORS), COLORS),
    "tiff with lzw": (saved(COLORS, compression="tiff_lzw"), COLORS),
    "tiff with transparency": (saved(RGBA), COLORS),
    "gray tiff": (saved(BYTES), GRAY),
    "gray tiff of 16 bits": (saved(VALUES), GRAY),
    "tiff of 1 bit": (saved(BYTES > 100), np.where(GRAY > 100, 255, 0)),
    "cmyk tiff": (saved(Image.fromarray(COLORS).convert("CMYK")), COLORS),
    "tiff of two pages": (saved(COLORS, save_all=True, append_images=[Image.fromarray(GRAY)]), COLORS),
    "turned tiff": (saved(COLORS, exif=turned(6)), np.rot90(COLORS, -1)),
    "avif": (saved(COLORS, "AVIF", quality=100, subsampling="4:4:4"), COLORS),
    "gray avif": (saved(BYTES, "AVIF", quality=100), GRAY),
    "turned avif": (saved(COLORS, "AVIF", quality=100, subsampling="4:4:4", exif=turned(6)), np.rot90(COLORS, -1)),
}
DAMAGED = {
    "damaged avif": (FILES["avif"][0][:-200], "is a truncated or damaged AVIF"),
    "damaged tiff": (FILES["tiff with lzw"][0][:60], "is TIFF, but Pillow cannot read it"),
    "tiff of 32 bits": (saved(BYTES.astype(np.float32)), "has values of 32 bits; expected 8 or 16"),
    "tiff of 12 bits": (saved(VALUES >> 4), "uses only 0 to 3836 of 65535"),
    "strip": (saved(np.zeros((2, 200, 3), np.uint8)), "is more than 64 times as long as it is wide"),
}


@pytest.mark.parametrize("name", FILES)
def test_decode_gives_pillows_upright_pixels(name):
    content, expected = FILES[name]
    pixels = decode(tf.constant(content), 3).numpy()
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= (8 if "avif" in name else 0)  # AVIF stores YCbCr
    with Image.open(io.BytesIO(content)) as image:
        if image.mode != "I;16":
            np.testing.assert_array_equal(pixels, ImageOps.exif_transpose(image).convert("RGB"))
    header = pillow_header(content)
    assert header.format == pillow_format(content) == ("AVIF" if "avif" in name else "TIFF")


def test_decode_in_color_in_gray_and_in_part_of_a_graph():
    """The gray is ITU-R 601's luma: 0.299 R + 0.587 G + 0.114 B."""
    content = FILES["tiff"][0]
    gray = decode(tf.constant(content), 1).numpy()[..., 0]
    assert np.abs(gray - COLORS @ [0.299, 0.587, 0.114]).max() <= 1
    crop = tf.function(lambda: decode_crop(tf.constant(content), lambda h, w: tf.constant([2, 3, 4, 5]), 3, 2))
    np.testing.assert_array_equal(crop(), COLORS[2:6, 3:8])


@pytest.mark.parametrize("name", DAMAGED)
def test_decode_refuses_with_a_reason(name):
    content, expected = DAMAGED[name]
    with pytest.raises(DataError, match=expected):
        decode_pillow_format(content)
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        decode(tf.constant(content), 3)


def folder(root, suffix, kind, count=4):
    for name, color in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.full((24, 24, 3), color + i, np.uint8)
            (root / name / f"{i}{suffix}").write_bytes(saved(pixels, kind))
    return root


@pytest.mark.parametrize(("suffix", "kind"), [(".tif", "TIFF"), (".avif", "AVIF"), (".jpg", "AVIF")])
def test_verify_reads_a_folder(tmp_path, suffix, kind):
    """By its content: AVIF called .jpg is read too. A damaged file is a finding with its reason."""
    root = folder(tmp_path / "photos", suffix, kind)
    (root / "dark" / f"9{suffix}").write_bytes(DAMAGED["tiff of 32 bits"][0])
    report = verify(Data(name=f"folder:{root}", validation_fraction=0.0, test_fraction=0.0))
    assert [str(each) for each in report.findings] == [
        f"train: {root}/dark/9{suffix}: has values of 32 bits; expected 8 or 16"
    ]
    assert report.splits["train"].sizes == [(24, 24)] * 3


def test_convert_writes_png_of_the_same_pixels():
    """The records of prepare-data are for readers without Pillow."""
    content, header = convert(FILES["turned tiff"][0], None, 90)
    assert (header.format, header.height, header.width) == ("PNG", 20, 12)
    np.testing.assert_array_equal(tf.io.decode_png(content), FILES["turned tiff"][1])
    with pytest.raises(ValueError, match="32 bits"):
        convert(DAMAGED["tiff of 32 bits"][0], None, 90)


def test_tf_data_service_is_refused_before_it_starts(tmp_path):
    name = f"folder:{folder(tmp_path / 'photos', '.tif', 'TIFF')}"
    with pytest.raises(ConfigError, match=r"read no AVIF, TIFF or HEIC, such as .*/dark/0.tif; prepare-data converts"):
        load_folder(Data(name=name, tf_data_service="grpc://localhost:5000"))


def test_missing_heic_package_is_one_line_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    root = folder(tmp_path / "photos", ".tif", "TIFF")
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    (root / "dark" / "a.heic").write_bytes(heic)
    said = r'is a HEIC image, which needs pillow_heif: pip install "keras-residual-networks\[heic\]"'
    with pytest.raises(DataError, match=rf"{root}/dark/a.heic: {said}"):
        load_folder(Data(name=f"folder:{root}"))
    images = load_folder(Data(name=f"folder:{root}", on_unreadable_image="skip", validation_fraction=0.0))
    lines = [line for split in images.splits.values() for line in unreadable(split, range(split.size))]
    assert len(lines) == len(set(lines))
    assert any(line.startswith(f"{root}/dark/a.heic: is a HEIC image, which needs pillow_heif: pip") for line in lines)
    with pytest.raises(DataError, match=said):
        decode_pillow_format(heic)


def test_heic_is_read_upright():
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    content = saved(np.kron(GRAY, np.ones((4, 4, 1), np.uint8)), "HEIF", quality=100, exif=turned(6).tobytes())
    assert pillow_format(content) == "HEIC"
    pixels = decode(tf.constant(content), 3).numpy()
    assert pixels.shape == (80, 48, 3)
    assert np.abs(pixels.astype(int) - np.rot90(np.kron(GRAY, np.ones((4, 4, 1))), -1)).mean() < 4


@pytest.mark.slow
def test_train_and_predict_on_mixed_formats(cli, tmp_path):
    """Training, and predict with the run and with a LiteRT file, read all; equal pixels have equal predictions."""
    root = folder(tmp_path / "photos", ".tif", "TIFF", 6)
    for suffix, kind in ((".png", "PNG"), (".avif", "AVIF"), (".webp", "WEBP")):
        (root / "dark" / f"0{suffix}").write_bytes(saved(np.full((24, 24, 3), 40, np.uint8), kind))
    sets = ["model.name=cifar_resnet8", f"data.name=folder:{root}", "data.image_size=24", *TINY_RUN]
    sets += ["train.warmup_steps=0", "train.batch_size=4"]
    flags = ["--config=folder/scratch", f"--workdir={tmp_path / 'run'}", *(f"--set={each}" for each in sets)]
    process = cli("train.py", *flags)
    assert process.returncode == 0, process.stderr
    assert cli("export.py", f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'export'}").returncode == 0
    for model in ("run", "export", "export/litert/1.tflite"):
        images = [root / "dark" / f"0{suffix}" for suffix in (".tif", ".png")]
        process = cli("-m", "keras_resnet", "predict", tmp_path / model, *images, "--format=json")
        assert process.returncode == 0, process.stderr
        first, second = json.loads(process.stdout)
        assert first["predictions"] == second["predictions"]


def test_predict_names_an_unreadable_tiff(finished_run, tmp_path):
    (tmp_path / "a.tif").write_bytes(DAMAGED["tiff of 32 bits"][0])
    process = in_process("-m", "keras_resnet", "predict", finished_run, tmp_path / "a.tif")
    assert process.returncode == 3
    assert "error: has values of 32 bits; expected 8 or 16" in process.stdout
