"""Encodes masks as COCO's compressed run lengths, without TensorFlow and without pycocotools.

The runs of a mask are the lengths of its stretches of equal pixels, column by column, beginning with zeros. The bytes
hold each number in groups of five bits, as pycocotools writes them; from the fourth on, the difference from the number
two before.
"""

import numpy as np

FIRST, MORE, BITS, SIGN = 48, 32, 31, 16  # of a byte: the code of zero; further groups follow; its bits; is negative
_GROUPS = 7  # of five bits, enough for 32


def encode(mask: np.ndarray, corner: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None) -> bytes:
    """mask (h, w) bool -> run lengths of an image that has it at `corner` and is zero elsewhere.

    Args:
        mask: the mask.
        corner: its first row and column in the image.
        size: height and width of the image. None: those of the mask.
    """
    height, width = size or mask.shape
    columns = np.zeros((mask.shape[1], height), bool)
    columns[:, corner[0] : corner[0] + mask.shape[0]] = mask.T
    flat = columns.ravel()
    if not flat.any():
        return compress(np.array([height * width]))
    first = corner[1] * height
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=False)) + first
    edges = [0, *changes.tolist()]
    if edges[-1] < height * width:
        edges.append(height * width)
    return compress(np.diff(edges))


def decode(content: bytes, size: tuple[int, int]) -> np.ndarray:
    """Run lengths of a mask of this height and width -> (H, W) bool.

    Raises:
        ValueError: they are damaged, or of another size.
    """
    height, width = size
    runs = decompress(content)
    if runs.sum() != height * width:
        raise ValueError(f"run lengths of {runs.sum():,} pixels, expected {height} x {width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def compress(runs: np.ndarray) -> bytes:
    """runs (R,) of at least 0 -> bytes."""
    numbers = np.array(runs, np.int64)
    numbers[3:] -= numbers[1:-2].copy()
    shifts = 5 * np.arange(_GROUPS)
    digits = numbers[:, None] >> shifts & BITS
    rest = numbers[:, None] >> (shifts + 5)
    groups = np.argmax(rest == np.where(digits & SIGN, -1, 0), axis=1)[:, None]  # the last one that is needed
    place = np.arange(_GROUPS)
    codes = digits + FIRST + MORE * (place < groups)
    return codes[place <= groups].astype(np.uint8).tobytes()


def decompress(content: bytes) -> np.ndarray:
    """Bytes -> runs (R,) int64.

    Raises:
        ValueError: the bytes are not run lengths.
    """
    codes = np.frombuffer(content, np.uint8).astype(np.int64) - FIRST
    if not len(codes) or codes.min() < 0 or codes.max() > MORE + BITS or codes[-1] & MORE:
        raise ValueError("damaged run lengths")
    last = codes & MORE == 0
    firsts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    place = np.arange(len(codes)) - firsts[np.cumsum(last) - last]
    if place.max() >= _GROUPS:
        raise ValueError("damaged run lengths")
    numbers = np.add.reduceat((codes & BITS) << 5 * place, firsts)
    numbers -= np.where(codes[last] & SIGN, 1 << 5 * (place[last] + 1), 0)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    if numbers.min() < 0:
        raise ValueError("damaged run lengths")
    return numbers
