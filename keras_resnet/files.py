"""Reads and writes files and folders on disks and on the file systems of `tf.io.gfile`, such as gs://bucket/run.

A written file is complete or absent, also after a crash or on a full disk: disks rename files atomically, and object
stores write a whole object or nothing. Object stores cannot rename many files at once (`has_rename`).
"""

import contextlib
import csv
import errno
import io
import os
import re
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence


def is_remote(path: str) -> bool:
    """Returns whether the path has a scheme of `tf.io.gfile`."""
    return "://" in os.fspath(path)


def has_rename(path: str) -> bool:
    """Returns whether the file system of a path can rename a folder at once."""
    return not is_remote(path)


def unique_suffix() -> str:
    """Returns a suffix that distinguishes the files of this process from those of other processes and machines."""
    return f"tmp-{socket.gethostname()}-{os.getpid()}"


def write_atomically(path: str, content: bytes) -> None:
    """Writes a file under a temporary name, syncs it to the disk, and renames it.

    Raises:
        OSError: the file cannot be written; an existing file is unchanged.
    """
    if is_remote(path):
        with os_errors(path), _gfile().GFile(path, "wb") as file:
            file.write(content)
        return
    staging = f"{path}.{unique_suffix()}"
    try:
        write_synced(staging, content)
        os.replace(staging, path)
        sync_folder(os.path.dirname(path))
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(staging)
        raise


def write_synced(path: str, content: bytes) -> None:
    """Writes a file in place and syncs it to the disk, for files that no other process reads yet."""
    if is_remote(path):
        write_atomically(path, content)
        return
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read(path: str) -> bytes:
    """Returns a file's content.

    Raises:
        OSError: the file does not exist or cannot be read.
    """
    if is_remote(path):
        with os_errors(path), _gfile().GFile(path, "rb") as file:
            return file.read()
    with open(path, "rb") as file:
        return file.read()


def is_file(path: str) -> bool:
    """Returns whether the path is a file."""
    if is_remote(path):
        return _gfile().exists(path) and not _gfile().isdir(path)
    return os.path.isfile(path)


def names(folder: str) -> list[str]:
    """Returns the sorted names in a folder; an empty list if the folder does not exist."""
    if is_remote(folder):
        there = _gfile().listdir(folder) if _gfile().isdir(folder) else []
        return sorted(name.rstrip("/") for name in there)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def make_folder(path: str) -> None:
    """Creates a folder and its parents if they do not exist."""
    if is_remote(path):
        with os_errors(path):
            _gfile().makedirs(path)
    else:
        os.makedirs(path, exist_ok=True)


def remove(path: str) -> None:
    """Removes a file if it exists."""
    if is_remote(path):
        if _gfile().exists(path):
            with os_errors(path):
                _gfile().remove(path)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.remove(path)


def remove_folder(path: str) -> None:
    """Removes a folder and its content; skips entries that cannot be removed."""
    if is_remote(path):
        with contextlib.suppress(OSError), os_errors(path):
            _gfile().rmtree(path)
    else:
        shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: str) -> None:
    """Syncs a folder's entries to the disk."""
    if is_remote(path) or os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: str) -> None:
    """Syncs a file's content to the disk."""
    if not is_remote(path):
        with open(path, "r+b") as file:
            os.fsync(file.fileno())


def free_bytes(path: str) -> int | None:
    """Returns the free bytes of a folder's disk, or None if they are unknown."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def _gfile():
    import tensorflow as tf  # takes seconds; disks do not need it

    return tf.io.gfile


@contextlib.contextmanager
def os_errors(path):
    """Converts TensorFlow's errors to the corresponding `OSError`."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.NotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    except tf.errors.OpError as error:
        reason = error.message.partition("\n")[0] or type(error).__name__
        raise OSError(errno.EIO, reason, path) from None


_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets run a cell with such a prefix


def csv_line(cells: Iterable) -> str:
    """Returns a line of CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


def csv_table(rows: Sequence[Mapping], columns: Sequence[str] | None = None, line_end: str = "\n") -> bytes:
    """Returns a file with a header and the rows {column: cell}; None becomes an empty cell.

    Args:
        rows: the rows.
        columns: the columns in order; default those of the first row. Without rows and columns the file is empty.
        line_end: the end of a line.
    """
    stream = io.StringIO()
    columns = columns or list(rows[0] if rows else ())
    if columns:
        writer = csv.DictWriter(stream, columns, lineterminator=line_end)
        writer.writeheader()
        writer.writerows(rows)
    return stream.getvalue().encode()


def plain_cell(text: str) -> str:
    """Returns a CSV cell that no spreadsheet reads as a formula."""
    text = escape_undecodable(text)
    return f"'{text}" if text.startswith(_FORMULA) or re.match(r"\s+[=+\-@]", text) else text


def escape_undecodable(text: str) -> str:
    """Escapes file names that are not UTF-8, so that any stream accepts them."""
    return text.encode(errors="backslashreplace").decode()
