"""Shows the progress of reading many images. Loads no TensorFlow."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 5  # seconds between lines of progress


def tracked(items: Iterable, total: int, console: Console, verb: str) -> Iterator:
    """Yields the items and shows progress: a bar in a terminal, otherwise a line every few seconds."""
    if console.is_terminal:
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
