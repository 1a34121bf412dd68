"""Arrays by name in safetensors files, without Keras.

The format holds nothing but tensors and strings, so that reading a file cannot run code.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from keras_resnet.files import is_remote, read, write_aside


def pack(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Arrays by name, and strings -> the content of a safetensors file; equal ones give equal bytes."""
    content = save(arrays, metadata)
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
    """The content of a safetensors file -> arrays by name.

    Raises:
        ValueError: it is no such content; the message names `source`.
    """
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(f"{source}: not a complete safetensors file ({error})") from None


def write_tensors(arrays: dict[str, np.ndarray], path: str, metadata: dict[str, str] | None = None) -> None:
    """Writes arrays by name as safetensors; the file is complete or absent, also after a crash."""
    write_aside(path, pack(arrays, metadata))


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a safetensors file by name.

    Raises:
        ValueError: the file is not safetensors; the message names it.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def read_metadata(path: str) -> dict[str, str]:
    """Reads the strings that are kept with the tensors; errors as `read_tensors`."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path) -> Iterator:
    with contextlib.ExitStack() as stack:
        here = path
        if is_remote(path):  # safetensors maps files into memory, which takes one on a disk
            copy = stack.enter_context(tempfile.NamedTemporaryFile())
            copy.write(read(path))
            copy.flush()
            here = copy.name
        try:
            file = safe_open(here, "numpy")
        except SafetensorError as error:
            raise ValueError(f"{path}: not a complete safetensors file ({error})") from None
        yield file
