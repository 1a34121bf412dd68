"""What going over a whole data set needs: headers, threads, and progress."""

import os
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_resnet.data.image_header import MAX_PIXELS
from keras_resnet.data.image_set import Split

__all__ = ["MAX_PIXELS", "Header", "distinct", "in_order", "read_header", "tracked"]

LINE_EVERY = 5  # seconds between plain lines of progress
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type (PNG specification, section 11.2.1); 3 is a palette


@dataclass(frozen=True)
class Header:
    """What a file says of its picture. Channels: 1 grey, 2 grey with alpha, 3 RGB or palette, 4 RGBA or CMYK."""

    format: str
    height: int
    width: int
    channels: int


def distinct(splits: dict[str, Split]) -> dict[str, Split]:
    """The splits that have images of their own: validation may be the test, or the training images, again."""
    order = ("train", "test", "validation")
    first = {id(splits[name]): name for name in reversed(order) if name in splits}
    return {name: split for name, split in splits.items() if first[id(split)] == name}


def read_header(content: bytes) -> Header | None:
    """The format and size of a picture, not decoded; None where its first bytes are not those of one."""
    try:
        if content.startswith(b"\xff\xd8\xff"):
            return Header("JPEG", *tf.image.extract_jpeg_shape(content).numpy().tolist())
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height, _, color = struct.unpack_from(">IIBB", content, 16)
            return Header("PNG", height, width, _PNG_CHANNELS.get(color, 3))
        if content.startswith(b"GIF8"):
            width, height = struct.unpack_from("<HH", content, 6)
            return Header("GIF", height, width, 3)
        if content.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", content, 18)
            return Header("BMP", abs(height), width, 3)  # negative: the first row is the top one
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp_header(content)
    except (struct.error, tf.errors.OpError):
        pass
    return None


def _webp_header(content):
    """RFC 9649, section 2: a lossy, a lossless, or an extended file, which names its canvas."""
    kind = content[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return Header("WEBP", height % 2**14, width % 2**14, 3)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return Header("WEBP", 1 + bits // 2**14 % 2**14, 1 + bits % 2**14, 3 + bits // 2**28 % 2)
    if kind == b"VP8X":
        flags, low_width, high_width, low_height, high_height = struct.unpack_from("<B3xHBHB", content, 20)
        height, width = 1 + low_height + 2**16 * high_height, 1 + low_width + 2**16 * high_width
        return Header("WEBP", height, width, 3 + flags // 16 % 2)
    return None


def in_order(function: Callable, items: Iterable) -> Iterator:
    """Like `map`, over threads: TensorFlow decodes without Python's lock. Few results wait, so memory is bounded."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def tracked(items: Iterable, total: int, console: Console, verb: str) -> Iterator:
    """The same items, and how far they are: a bar in a terminal, elsewhere a line every few seconds."""
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
