"""Images that look alike: photographs that were changed as people and sites change them, and ones that were not."""

import io

import numpy as np
import pytest
from conftest import in_process
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from keras_resnet.data.near_duplicates import MAX_DISTANCE, difference_hash, near_duplicates


@pytest.fixture(scope="module")
def photographs():
    """Returns 24 parts of two photographs, 200 x 300 pixels, which overlap by half with their neighbors."""
    return [
        picture[y : y + 200, x : x + 300]
        for picture in load_sample_images().images
        for y in range(0, 227, 75)
        for x in (0, 150, 300)
    ]


def compressed(image, quality):
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content)


CHANGES = {
    "compressed": lambda image: compressed(image, 40),
    "half the size": lambda image: image.resize((150, 100), Image.Resampling.BICUBIC),
    "twice the size": lambda image: image.resize((600, 400), Image.Resampling.BILINEAR),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "gray": lambda image: image.convert("L").convert("RGB"),
}


def distance(first, second):
    return int(np.bitwise_count(first ^ second).sum())


@pytest.mark.parametrize("change", CHANGES)
def test_changed_photographs_are_found(photographs, change):
    for picture in photographs:
        image = Image.fromarray(picture)
        changed = difference_hash(np.asarray(CHANGES[change](image)))
        assert distance(difference_hash(picture), changed) <= MAX_DISTANCE


def test_parts_of_one_photograph_are_not_alike(photographs):
    hashes = np.stack([difference_hash(picture) for picture in photographs])
    assert list(near_duplicates(hashes[:1], hashes[1:])) == []
    others = [distance(hashes[i], hashes[j]) for i in range(len(hashes)) for j in range(i)]
    assert min(others) > 2 * MAX_DISTANCE


def test_images_without_structure_or_size_have_no_hash(photographs):
    assert difference_hash(np.full((64, 64, 3), 200, np.uint8)) is None
    assert difference_hash(photographs[0][:47]) is None
    white = np.full((64, 64, 3), 255, np.uint8)
    white[28:36, 28:36] = 0
    assert difference_hash(white) is None


def test_difference_hash_by_hand():
    """Brighter to the right by 10 a cell, so that all 64 bits to the right are set and the 64 downward are not."""
    ramp = np.tile(np.repeat(np.arange(9) * 10, 8), (72, 1))[..., None].astype(np.uint8)
    assert difference_hash(ramp).tolist() == [2**64 - 1, 0]


def test_nearest_within_the_distance_by_hand():
    """0b111 is 3 bits from 0 and 1 from 0b110; blocks of a thousand are searched as one."""
    first = np.zeros((1500, 2), np.uint64)
    first[:, 1] = np.uint64(2**64 - 1)
    first[3] = 0
    first[1400] = [0b110, 0]
    second = np.uint64([[0b111, 0], [0, 0], [0b1111100000, 0]])
    assert list(near_duplicates(first, second, 1)) == [(0, 1400), (1, 3)]
    assert list(near_duplicates(first, second, 5)) == [(0, 1400), (1, 3), (2, 3)]
    assert list(near_duplicates(first[:0], second, 128)) == []


def test_verify_data_names_both_images(photographs, tmp_path):
    for split, start in (("train", 0), ("val", 12)):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(4):
                picture = photographs[start + 4 * (name == "b") + i]
                Image.fromarray(picture).save(tmp_path / split / name / f"{i}.png")
    Image.fromarray(photographs[5]).resize((150, 100)).save(tmp_path / "val" / "a" / "copy.jpg")
    process = in_process("verify-data", f"folder:{tmp_path}")
    assert process.returncode == 3
    expected = f"near duplicate  validation: {tmp_path}/val/a/copy.jpg: looks like {tmp_path}/train/b/1.png of train"
    assert expected in process.stdout.replace("\n", " ").replace("  ", " ").replace(
        "near duplicate ", "near duplicate  "
    )
    assert "1 finding" in process.stdout
    assert in_process("verify-data", f"folder:{tmp_path}", "--near_duplicates=-1").returncode == 0
