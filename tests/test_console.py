"""Tests the progress display that all commands share."""

import importlib
import io
import logging
import re
import sys

import pytest
from rich.console import Console

from keras_resnet import console
from keras_resnet.console import ProgressBar, time_left, tracked


@pytest.fixture
def clock(monkeypatch):
    """Replaces `time.monotonic` by a clock that `clock.wait` advances."""

    class Clock:
        now = 0.0

        def wait(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(console.time, "monotonic", lambda: clock.now)
    return clock


def slow_items(clock, count, seconds):
    for i in range(count):
        clock.wait(seconds)
        yield i


def test_tracked_without_terminal_prints_few_lines(clock, capsys):
    items = tracked(slow_items(clock, 10, 2.0), 10, Console(force_terminal=False), "verified")
    assert list(items) == list(range(10))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # 2 seconds an image, a line after 6
    assert re.fullmatch(r"verified 3/10 images  0 images/s  0:00:14 left", lines[0])


def test_tracked_batches_counts_images(clock, capsys):
    """Three batches of 100 seconds; the last is not full."""
    list(tracked(slow_items(clock, 3, 100.0), 1100, Console(force_terminal=False), "evaluated", images_per_item=500))
    assert capsys.readouterr().out.splitlines() == [
        "evaluated 500/1,100 images  5 images/s  0:02:00 left",
        "evaluated 1,000/1,100 images  5 images/s  0:00:20 left",
        "evaluated 1,100/1,100 images  4 images/s  0:00:00 left",
    ]


def test_tracked_in_terminal_is_a_bar():
    shown = Console(force_terminal=True, file=io.StringIO())
    assert list(tracked(range(10), 10, shown, "verified")) == list(range(10))
    assert "10/10" in shown.file.getvalue()


def test_bar_leaves_redirected_output_alone(capsys):
    """`keras-resnet predict ... > FILE` shows the bar on stderr, and its answers go to the file."""
    shown = Console(force_terminal=True, file=io.StringIO())
    for i in tracked(range(3), 3, shown, "answered"):
        print(f"answer {i}")
    assert capsys.readouterr().out == "answer 0\nanswer 1\nanswer 2\n"
    assert "answer 1" not in shown.file.getvalue()


def test_bar_shows_names_in_brackets():
    shown = Console(force_terminal=True, file=io.StringIO())
    with ProgressBar(shown, "", 2) as bar:
        bar.show(1, "[red]1.jpg")
    assert "[red]1.jpg" in shown.file.getvalue()


def test_progress_bar_is_due_after_the_interval(clock, capsys):
    with ProgressBar(Console(force_terminal=False), "step", 9, line_every=30) as bar:
        clock.wait(29)
        assert not bar.is_due()
        clock.wait(1)
        assert bar.is_due()
        bar.show(3, "3/9")
        assert not bar.is_due()
        assert not bar.is_bar
        assert bar.elapsed() == 30
    assert capsys.readouterr().out == "step 3/9\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "? left"), (77.4, "0:01:17 left"), (90_000, "1 day, 1:00:00 left")]
)
def test_time_left_text(seconds, text):
    assert time_left(seconds) == text


def test_quiet_import_leaves_the_logger_of_the_module_a_stream_that_is_open(tmp_path, monkeypatch, capfd):
    """TensorFlow makes its handler when it is imported; a warning later ended in a traceback of the logging module."""
    name = "module_with_a_logger"
    (tmp_path / f"{name}.py").write_text(
        f"import logging, sys\nlogging.getLogger({name!r}).addHandler(logging.StreamHandler(sys.stderr))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    sys.meta_path.insert(0, console._QuietImport(name))
    importlib.import_module(name)
    logging.getLogger(name).warning("a warning")
    assert capfd.readouterr().err == "a warning\n"
