"""A lock that allows one process at a time to train in a folder.

On a disk, the operating system holds the lock and releases it when the process ends, even after a crash. Object stores
have no locks: there, the holder renews a lease periodically, and a holder that stops renewing counts as ended.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from filelock import FileLock, Timeout

from keras_resnet.errors import ConfigError, DiskError
from keras_resnet.files import is_remote, read, remove, write_atomically
from keras_resnet.runs.folder import RunFolder

RENEW_EVERY = 10  # seconds
SILENT_AFTER = 30  # seconds


@contextlib.contextmanager
def locked(folder: RunFolder, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the folder's lock for this process.

    Args:
        folder: the run's folder, which must exist.
        say: receives a line if the former holder has ended, or while this process waits for it.

    Raises:
        ConfigError: another process trains in the folder.
    """
    with _lease(folder, say) if is_remote(folder.path) else _file_lock(folder, say):
        yield


@contextlib.contextmanager
def _file_lock(folder, say):
    lock = FileLock(folder.lock, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _taken(folder) from None
    except OSError as error:
        raise DiskError(f"{folder.lock}: cannot be made or locked ({error.strerror})") from None
    try:
        former = _holder(folder)
        if former:
            say(f"the process that trained here before is gone ({_described(former)}); taking it over")
        with contextlib.suppress(OSError):  # only informs other processes of the holder
            write_atomically(folder.holder, _me())
        yield
    finally:
        with contextlib.suppress(OSError):
            remove(folder.holder)
        lock.release()


@contextlib.contextmanager
def _lease(folder, say):
    former = _holder(folder)
    if former:
        say(f"waiting {SILENT_AFTER} s, whether {_described(former)} still trains here")
        time.sleep(SILENT_AFTER)
        if _holder(folder) not in (former, None):
            raise _taken(folder)
    write_atomically(folder.holder, _me())
    ended = threading.Event()

    def renew():
        while not ended.wait(RENEW_EVERY):
            with contextlib.suppress(OSError):  # the next renewal or checkpoint reports the problem
                write_atomically(folder.holder, _me())

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        remove(folder.holder)


def _me():
    """Returns the holder's entry, which differs every time, so that readers see a renewal without comparing clocks."""
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "said": uuid.uuid4().hex}).encode()


def _holder(folder):
    try:
        holder = json.loads(read(folder.holder))
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def _described(holder):
    return f"process {holder.get('pid')} on {holder.get('host')}"


def _taken(folder):
    holder = _described(_holder(folder) or {})
    return ConfigError(f"--workdir={folder.path}: {holder} trains there; wait for it, end it, or name another folder")
