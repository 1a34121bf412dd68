"""What the terminal shows: progress over many items, and less of the notices of TensorFlow and of converters."""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY = 5  # seconds between lines of progress


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

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


def import_tensorflow_quietly() -> None:
    """Makes the first import of TensorFlow in this process quiet. An import that fails shows everything."""
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietImport("tensorflow"))


def tracked(items: Iterable, total: int, console: "Console", verb: str) -> Iterator:
    """Yields the items and shows progress: a bar in a terminal, otherwise a line every few seconds."""
    if console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            yield from bar.track(items, total=total, description=verb)
        return
    began = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_EVERY:
            last, rate = now, done / (now - began)
            left = timedelta(seconds=round((total - done) / rate))
            print(f"{verb} {done:,}/{total:,} images  {rate:.0f} images/s  {left} left", flush=True)
