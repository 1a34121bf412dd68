"""Files and folders on a disk, or on whatever `tf.io.gfile` knows by a scheme, such as gs://bucket/run.

What is written here is whole or absent, also after a crash or on a full disk: a disk has rename for that, and stores of
objects put a whole object or none. What stores do not have is a rename of many files at once (`has_rename`).
"""

import contextlib
import errno
import os
import shutil
import socket


def is_remote(path: str) -> bool:
    """Whether the path names a scheme of `tf.io.gfile`."""
    return "://" in os.fspath(path)


def has_rename(path: str) -> bool:
    """Whether folders there can be renamed at once."""
    return not is_remote(path)


def unique_suffix() -> str:
    """Tells the files of this process from those of others, on this machine and on others."""
    return f"tmp-{socket.gethostname()}-{os.getpid()}"


def write_aside(path: str, content: bytes) -> None:
    """Writes a file under a temporary name, makes sure that it is on the disk, and renames it once.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    if is_remote(path):
        with os_errors(path), _gfile().GFile(path, "wb") as file:
            file.write(content)
        return
    aside = f"{path}.{unique_suffix()}"
    try:
        write_synced(aside, content)
        os.replace(aside, path)
        sync_folder(os.path.dirname(path))
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(aside)
        raise


def write_synced(path: str, content: bytes) -> None:
    """Writes a file where nobody looks yet, and makes sure that it is on the disk."""
    if is_remote(path):
        write_aside(path, content)
        return
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read(path: str) -> bytes:
    """A file's content.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    if is_remote(path):
        with os_errors(path), _gfile().GFile(path, "rb") as file:
            return file.read()
    with open(path, "rb") as file:
        return file.read()


def is_file(path: str) -> bool:
    """Whether a file lies there."""
    if is_remote(path):
        return _gfile().exists(path) and not _gfile().isdir(path)
    return os.path.isfile(path)


def names(folder: str) -> list[str]:
    """Names of what lies in a folder, sorted; none where there is no folder."""
    if is_remote(folder):
        there = _gfile().listdir(folder) if _gfile().isdir(folder) else []
        return sorted(name.rstrip("/") for name in there)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def make_folder(path: str) -> None:
    """Makes a folder and those above it, where they are not there."""
    if is_remote(path):
        with os_errors(path):
            _gfile().makedirs(path)
    else:
        os.makedirs(path, exist_ok=True)


def remove(path: str) -> None:
    """Removes a file, if there is one."""
    if is_remote(path):
        if _gfile().exists(path):
            with os_errors(path):
                _gfile().remove(path)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.remove(path)


def remove_folder(path: str) -> None:
    """Removes a folder with what is in it; what cannot be removed stays."""
    if is_remote(path):
        with contextlib.suppress(OSError), os_errors(path):
            _gfile().rmtree(path)
    else:
        shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: str) -> None:
    """Makes sure that a folder's entries are on the disk."""
    if is_remote(path) or os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: str) -> None:
    """Makes sure that what was written to a file is on the disk."""
    if not is_remote(path):
        with open(path, "r+b") as file:
            os.fsync(file.fileno())


def free_bytes(path: str) -> int | None:
    """Free space of the disk that holds a folder; None where there is no telling."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def _gfile():
    import tensorflow as tf  # seconds; disks do without

    return tf.io.gfile


@contextlib.contextmanager
def os_errors(path):
    """TensorFlow's errors as the OSErrors that they mean."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.NotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    except tf.errors.OpError as error:
        reason = error.message.partition("\n")[0] or type(error).__name__
        raise OSError(errno.EIO, reason, path) from None
