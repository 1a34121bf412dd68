"""Finds the image behind a data error: TensorFlow's errors seldom name the file."""

import re
from collections.abc import Iterable

import tensorflow as tf

from keras_resnet.data.decode import decode
from keras_resnet.data.image_set import Split
from keras_resnet.errors import DataError

_FORMATS = "is not a JPEG, PNG, BMP, GIF or WebP that TensorFlow reads; save it as PNG or JPEG"


def unreadable(split: Split, indices: Iterable[int]) -> list[str]:
    """Reads images one by one; returns a line "location: reason" for each unreadable image."""
    found = []
    for index in indices:
        try:
            image, _ = split.read(tf.constant(index, tf.int64))
            decode(image, 3)
        except tf.errors.OpError as error:
            found.append(f"{split.source(index)}: {reason(error)}")
    return found


def named(error: tf.errors.OpError, faults: list[str]) -> Exception:
    """Returns the exception for a data error: a `DataError` with the first of `faults`, or the error itself."""
    return DataError(f"{faults[0]} (data.on_unreadable_image: skip would skip it)") if faults else error


def reason(error: tf.errors.OpError) -> str:
    """Returns what is wrong with a file, in a few words."""
    text = error.message.rpartition("}} ")[2]  # eager errors start with the name of the operation
    if asserted := re.search(r"assertion failed: \[([^\[\]]*)\]|Summarized data: b'([^']*)'", error.message):
        text = asserted[1] or asserted[2]  # in a graph, or in eager mode
    for part, words in (
        ("is no JPEG", _FORMATS),
        ("Unknown image file format", _FORMATS),
        ("input image size", "has no pixels"),
        ("Input is empty", "is empty"),
        ("Invalid PNG", "is a damaged PNG"),
        ("jpeg::Uncompress failed", "is a truncated or damaged JPEG"),
        ("Invalid JPEG data", "is a truncated or damaged JPEG"),
        ("corrupted record", "is damaged: its checksum is wrong"),
        ("truncated record", "is truncated"),
        ("No such file", "is not there any more"),
        ("NewRandomAccessFile failed", "cannot be opened"),
    ):
        if part in text:
            return words
    return text.splitlines()[0][:200]
