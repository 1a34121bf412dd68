"""Reads and writes safetensors files, without Keras.

The format contains only tensors and strings, so that reading a file cannot run code.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from keras_resnet.files import is_remote, read, write_atomically

_LARGEST_HEADER = 16 * 2**20  # bytes; ResNet-1202's header has 0.7 MiB


def pack(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Returns the content of a safetensors file with named arrays and metadata; equal inputs give equal bytes."""
    content = save({name: np.asarray(value, order="C") for name, value in arrays.items()}, metadata)
    if not metadata:
        return content
    # safetensors 0.8 writes the strings in an order that differs from process to process.
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = metadata
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of 8 bytes
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[end:]))


def unpack(content: bytes, source: str) -> dict[str, np.ndarray]:
    """Returns the arrays in the content of a safetensors file, by name.

    Raises:
        ValueError: the content is not a complete safetensors file; the message names `source`.
    """
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(f"{source}: not a complete safetensors file ({error})") from None


def write_tensors(arrays: dict[str, np.ndarray], path: str, metadata: dict[str, str] | None = None) -> None:
    """Writes arrays by name to a safetensors file, which is complete or absent even after a crash."""
    write_atomically(path, pack(arrays, metadata))


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a safetensors file by name; bfloat16, which NumPy lacks, becomes float32.

    Raises:
        ValueError: the file is not safetensors; the message names it.
    """
    with _opened(path) as (file, header, content):
        return {name: _tensor(file, name, header[name], content, path) for name in file.keys()}  # noqa: SIM118


def read_metadata(path: str) -> dict[str, str]:
    """Reads the metadata strings of a safetensors file; raises errors like `read_tensors`."""
    with _opened(path) as (file, _, _):
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path) -> Iterator:
    """Opens a file as (reader of safetensors, header, file object)."""
    with contextlib.ExitStack() as stack:
        here = path
        if is_remote(path):  # safetensors maps files into memory, which requires a local file
            copy = stack.enter_context(tempfile.NamedTemporaryFile())
            copy.write(read(path))
            copy.flush()
            here = copy.name
        content = stack.enter_context(open(here, "rb"))
        try:
            header = _header(content)
            file = safe_open(here, "numpy")
        except (SafetensorError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a complete safetensors file ({error})") from None
        yield file, header, content


def _header(content):
    """Reads a file's header before safetensors does, and checks its size and that no name occurs twice."""
    size = int.from_bytes(content.read(8), "little")
    if size > _LARGEST_HEADER:
        raise ValueError(f"its first 8 bytes state a header of {size:,} bytes")

    def unique(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise ValueError("its header names a tensor twice")
        return dict(pairs)

    return json.loads(content.read(size), object_pairs_hook=unique)


def _tensor(file, name, entry, content, path):
    if entry["dtype"] == "BF16":
        begin, end = entry["data_offsets"]
        content.seek(0)
        content.seek(8 + int.from_bytes(content.read(8), "little") + begin)
        halves = np.frombuffer(content.read(end - begin), np.uint16)
        return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    try:
        return file.get_tensor(name)
    except (TypeError, AttributeError):
        raise ValueError(f"{path}: {name} is of type {entry['dtype']}, which NumPy has not") from None
