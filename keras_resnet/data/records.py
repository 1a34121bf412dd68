"""Reads single records of TFRecord files at random positions, inside a TensorFlow graph."""

import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_resnet.errors import DataError

_HEADER, _FOOTER = 12, 4  # length and its checksum; the checksum of the data
_BUFFER = 1 << 18  # bytes per read: enough for most records


@dataclass(frozen=True)
class Records:
    """The location of each record: file_of (N,) is the index of its file in `files`, offsets (N,) are in bytes."""

    files: list[str]
    file_of: np.ndarray
    offsets: np.ndarray

    def __len__(self):
        return len(self.offsets)

    def source(self, index: int) -> str:
        """Returns the location of record `index`, for messages."""
        file = self.file_of[index]
        number = index - int(np.searchsorted(self.file_of, file))
        return f"{self.files[file]}, record {number}"


def index_records(files: list[str]) -> Records:
    """Finds the offset of each record of TFRecord files; reads only the records' headers.

    Raises:
        DataError: a file cannot be read or ends in the middle of a record.
    """
    with ThreadPoolExecutor(16) as pool:
        offsets = list(pool.map(_offsets, files))
    file_of = np.repeat(np.arange(len(files), dtype=np.int32), [len(each) for each in offsets])
    return Records(files, file_of, np.concatenate(offsets))


def _offsets(path):
    try:
        size = tf.io.gfile.stat(path).length
        # TensorFlow's file objects also read remote stores; Python's are faster for local files.
        with open(path, "rb") if os.path.isfile(path) else tf.io.gfile.GFile(path, "rb") as file:
            offsets, position = [], 0
            while position < size:
                offsets.append(position)
                file.seek(position)
                header = file.read(_HEADER)
                length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER else size
                position += _HEADER + length + _FOOTER
    except (OSError, tf.errors.OpError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if position != size:
        number = len(offsets) - 1
        raise DataError(f"{path}: is not a complete TFRecord file: it ends within record {number} of {size} bytes")
    return np.asarray(offsets, np.int64)


def reader(records: Records) -> Callable:
    """Returns a function index () int64 -> the record () string; it verifies the checksum."""
    with tf.device("CPU:0"):
        files, file_of, offsets = map(tf.constant, (records.files, records.file_of, records.offsets))

    def read(index):
        file = tf.gather(files, tf.gather(file_of, index))
        of_one = {"output_types": [tf.string], "output_shapes": [[]]}
        dataset = tf.raw_ops.TFRecordDatasetV2(
            filenames=[file], compression_type="", buffer_size=_BUFFER, byte_offsets=[tf.gather(offsets, index)]
        )
        dataset = tf.raw_ops.TakeDataset(input_dataset=dataset, count=1, **of_one)
        return tf.raw_ops.DatasetToSingleElement(dataset=dataset, **of_one)[0]

    return read
