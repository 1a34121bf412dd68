import multiprocessing.pool
import weakref

import pytest
import tensorflow as tf

from keras_resnet.errors import ConfigError, LostWorkerError
from keras_resnet.training import strategy


def test_make_strategy_warns_of_an_unused_nvidia_device(monkeypatch, capsys):
    monkeypatch.setattr(strategy, "nvidia_device_present", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    strategy.make_strategy("one_device")
    printed = capsys.readouterr().out
    assert printed.startswith("WARNING: this machine has an NVIDIA device, but TensorFlow sees none")
    assert "`make gpu`" in printed


def test_make_strategy_with_too_few_gpus_is_refused():
    with pytest.raises(ConfigError, match="--require_gpus=64: TensorFlow sees"):
        strategy.make_strategy("mirrored", require_gpus=64)


@pytest.mark.parametrize(("devices", "expected"), [(["/dev/nvidia0"], True), ([], False)])
def test_nvidia_device_present_with_and_without_devices(monkeypatch, devices, expected):
    monkeypatch.setattr(strategy.glob, "glob", lambda pattern: devices)
    assert strategy.nvidia_device_present() is expected


def test_is_chief_of_a_single_process(strategies):
    assert strategy.is_chief(strategies[1])
    assert strategy.is_chief(strategies[2])


@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool")  # a recorded warning would keep it
def test_watched_releases_what_a_lost_worker_left_open(strategies):
    """An unclosed thread pool that lives until Python ends prints a traceback below the error's line."""
    workers = strategy.Workers(strategies[1])
    workers.several = True
    kept = []

    def reduce():
        pool = multiprocessing.pool.ThreadPool(1)
        kept.append(weakref.ref(pool))
        raise tf.errors.UnavailableError(None, None, "{{node Sum}} Connection reset by peer")

    message = r"^another worker is gone \(Connection reset by peer\); start all again"
    with pytest.raises(LostWorkerError, match=message) as caught, workers.watched():
        reduce()
    assert kept[0]() is None, caught  # the error lives on
