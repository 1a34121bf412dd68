"""Provides helpers to read a whole data set: its distinct splits, and a `map` over threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from keras_resnet.data.image_set import Split


def distinct(splits: dict[str, Split]) -> dict[str, Split]:
    """Returns the splits that have their own images: validation may repeat the test or training images."""
    order = ("train", "test", "validation")
    first = {id(splits[name]): name for name in reversed(order) if name in splits}
    return {name: split for name, split in splits.items() if first[id(split)] == name}


def in_order(function: Callable, items: Iterable) -> Iterator:
    """Maps like `map`, over threads: TensorFlow decodes without the GIL. Few results wait, so memory is bounded."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
