"""What the terminal shows: the progress of all commands, and less of the notices of TensorFlow and of converters."""

import contextlib
import importlib.abc
import importlib.util
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LINE_EVERY = 5  # seconds between plain lines of progress


@contextlib.contextmanager
def quiet():
    """Suppresses stderr in its scope, including that of C++; prints it if the scope raises an error."""
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


class _QuietImport(importlib.abc.MetaPathFinder):
    """Finds one module as Python does, and holds back what C++ writes to stderr while it loads."""

    def __init__(self, name):
        self._name = name

    def find_spec(self, name, path=None, target=None):
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module):
                # Python's own messages, such as that of an interrupt, still reach the terminal.
                former = sys.stderr
                with os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8") as terminal:
                    sys.stderr = terminal
                    try:
                        with quiet():
                            load(module)
                    finally:
                        sys.stderr = former
                        for handler in logging.getLogger(self._name).handlers:  # the module's own, for later messages
                            if isinstance(handler, logging.StreamHandler) and handler.stream is terminal:
                                handler.setStream(former)

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


def import_tensorflow_quietly() -> None:
    """Makes the first import of TensorFlow in this process quiet. An import that fails shows everything."""
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietImport("tensorflow"))


class ProgressBar:
    """Shows the progress of some work: a bar in a terminal, plain lines elsewhere.

    Args:
        console: where to show it.
        label: precedes the text; may be empty.
        total: the amount of work.
        line_every: seconds between plain lines.
    """

    def __init__(self, console: "Console", label: str, total: float, line_every: float = LINE_EVERY):
        self._console, self._label, self._total, self._line_every = console, label, total, line_every
        self._bar: Progress | None = None

    @property
    def is_bar(self) -> bool:
        """Whether a bar is on the screen."""
        return self._bar is not None

    def start(self, done: int = 0, text: str = "") -> None:
        """Starts the timer and, in a terminal, the bar."""
        self._began = self._last_line = time.monotonic()
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                console=self._console,
                transient=True,
                # What goes to a file or to another program must not appear above the bar instead.
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
            )
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, completed=done, text=text)

    def elapsed(self) -> float:
        """Returns the seconds since the start."""
        return time.monotonic() - self._began

    def is_due(self) -> bool:
        """Returns whether there is a bar, or the last plain line is old enough for another."""
        return self.is_bar or time.monotonic() - self._last_line >= self._line_every

    def show(self, done: float, text: str) -> None:
        """Moves the bar and sets its text, or prints a line."""
        if self._bar:
            self._bar.update(self._task, completed=done, text=text)
            return
        self._last_line = time.monotonic()
        self._console.print(f"{self._label} {text}".lstrip(), markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Removes the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()


def time_left(seconds: float | None) -> str:
    """Returns "0:01:17 left", or "? left" for None."""
    return f"{'?' if seconds is None else timedelta(seconds=round(seconds))} left"


def tracked(items: Iterable, total: int, console: "Console", verb: str, images_per_item: int = 1) -> Iterator:
    """Yields the items, which are images or batches of `total` images, and shows progress."""
    with ProgressBar(console, verb, total) as bar:
        for number, item in enumerate(items, 1):
            yield item
            if bar.is_due():
                done = min(number * images_per_item, total)
                rate = done / max(bar.elapsed(), 1e-9)
                left = time_left((total - done) / rate)
                bar.show(done, f"{done:,}/{total:,} images  {rate:.0f} images/s  {left}")
