"""Batch sizes: the suggestion and the estimate of memory by hand, and one measurement."""

import pytest

from keras_resnet.config.loading import load_config
from keras_resnet.config.recipes import recipes_folder
from keras_resnet.errors import ConfigError
from keras_resnet.tuning import batch_size
from keras_resnet.tuning.batch_size import BatchSizeRow, batch_size_rows, measured, suggested_batch_size

DIGITS = f"{recipes_folder()}/digits/resnet20.yaml"


def rows(*speeds):
    return [BatchSizeRow(8 * 2**i, speed, 10**9 * (i + 1)) for i, speed in enumerate(speeds)]


def test_smallest_batch_size_near_the_highest_speed_is_suggested():
    assert suggested_batch_size(rows(50.0, 94.9, 95.0, 100.0)) == 32
    assert suggested_batch_size([*rows(50.0), BatchSizeRow(16, None, None, "does not fit into memory")]) == 8
    assert suggested_batch_size([BatchSizeRow(8, None, None, "does not fit into memory")]) is None


def test_batch_size_beyond_the_free_memory_is_not_tried(monkeypatch):
    """8 and 16 images take 1 and 2 GB, so 32 take 4, and 3.9 are free."""
    taken = iter(rows(1.0, 2.0, 3.0))
    monkeypatch.setattr(batch_size, "_measured_apart", lambda *arguments: next(taken))
    monkeypatch.setattr(batch_size, "_on_gpu", lambda: False)
    monkeypatch.setattr(batch_size, "free_memory", lambda: 3_900_000_000)
    found = list(batch_size_rows(load_config(DIGITS), [8, 16, 32, 64], "one_device", 0))
    assert [row.batch_size for row in found] == [8, 16, 32]
    assert found[2].problem == "needs about 4.0 GB, 3.9 GB are free"


def test_sizes_end_with_the_first_that_fails(monkeypatch):
    failed = BatchSizeRow(16, None, None, "does not fit into memory")
    taken = iter([*rows(1.0), failed])
    monkeypatch.setattr(batch_size, "_measured_apart", lambda *arguments: next(taken))
    assert list(batch_size_rows(load_config(DIGITS), [8, 16, 32], "one_device", 0))[-1] == failed


def test_measured_in_this_process():
    values = load_config(DIGITS, ["train.warmup_steps=100"]).model_dump(mode="json")
    row = measured(values, 4, 1, "one_device", 0)
    assert (row.batch_size, row.problem) == (4, "")
    assert row.images_per_second > 1
    few = measured(values, 80, 16, "one_device", 0)
    assert few.problem == "1,258 training images would be fewer than 16 steps"


@pytest.mark.slow
def test_measured_in_a_process_of_its_own():
    """Errors of the user come back as they are; what the system ends is a row."""
    config = load_config(DIGITS)
    (row,) = batch_size_rows(config, [8], "one_device", 0)
    assert row.images_per_second > 1
    with pytest.raises(ConfigError, match=r"train\.batch_size: 3 does not divide over 2 replicas"):
        list(batch_size_rows(config, [3], "mirrored", 2))
