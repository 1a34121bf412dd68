"""Publishes versions of an export: writes to a temporary folder and renames once; no version is replaced or partial.

| in `output` | |
|---|---|
| <version>/ | a SavedModel; servers load the highest number |
| <format>/<version>*, such as litert/1-int8.tflite | other artifacts of the version, present before the SavedModel is |
| .tmp-* | an export that is being written or was killed; the next export removes the latter |
| .claim-<version> | a reserved number; where files cannot be locked, only the creation of this folder decides |
"""

import contextlib
import errno
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

from filelock import FileLock, Timeout

from keras_resnet import files
from keras_resnet.errors import ConfigError, DiskError
from keras_resnet.export.formats import SAVED_MODEL, suffixes

_ASIDE, _CLAIM, _LOCK, _NUMBER = ".tmp-", ".claim-", "lock", "version"
_ABANDONED_AFTER = 24 * 3600  # seconds, if no lock shows whether a process still writes


@contextlib.contextmanager
def staged(output: str) -> Iterator[str]:
    """Yields a new temporary folder in `output` for an export and always removes it at the end.

    Files of killed exports are removed first.

    Raises:
        ConfigError: `output` cannot be written.
        DiskError: a file that is written in the scope does not fit on the disk or cannot be written.
    """
    if files.is_remote(output):
        raise ConfigError(
            f"--output={output}: expected a folder on a disk; copy finished versions to stores of objects"
        )
    try:
        os.makedirs(output, exist_ok=True)
        staging = tempfile.mkdtemp(prefix=_ASIDE, dir=output)
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written ({error.strerror})") from None
    alive = FileLock(os.path.join(staging, _LOCK))  # held while this process lives
    try:
        with contextlib.suppress(NotImplementedError, OSError):
            alive.acquire(timeout=0)
        clean_up(output, staging)
        yield staging
    except OSError as error:
        free = files.free_bytes(output)
        room = "" if free is None or error.errno != errno.ENOSPC else f"; {free:,} bytes are free there"
        raise DiskError(
            f"{output}: cannot be written ({error.strerror or error}){room}; nothing was published"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        alive.release()


def publish(
    staging: str, output: str, version: int | None = None, complete: Callable[[int], None] = lambda number: None
) -> tuple[int, list[str]]:
    """Moves the artifacts in `staging` to `output`, as the next free version or the requested one.

    Args:
        staging: holds "saved_model/" and optionally folders of other formats, whose files have the prefix "version".
        output: the folder that servers read.
        version: a free number; None for the one after the highest.
        complete: called with the version before anything is visible; may still write into `staging`.

    Returns:
        The version, and the published paths, the SavedModel last.

    Raises:
        ConfigError: the version already exists.
    """
    sync_tree(staging)  # the slowest part, during which others may publish
    with _locked(output, 600):
        number = _claim(output, version)
        claim = os.path.join(output, f"{_CLAIM}{number}")
        moved: list[str] = []
        try:
            files.write_synced(os.path.join(staging, _NUMBER), str(number).encode())
            complete(number)
            sync_tree(staging)
            for folder, ending in suffixes().items():
                for path in sorted(glob.glob(os.path.join(staging, folder, f"version*{ending}"))):
                    name = os.path.basename(path).replace("version", str(number), 1)
                    os.makedirs(os.path.join(output, folder), exist_ok=True)
                    _show(path, os.path.join(output, folder, name))
                    moved.append(os.path.join(output, folder, name))
            final = os.path.join(output, str(number))
            _show(os.path.join(staging, SAVED_MODEL), final)  # from here on the version is visible
            return number, [*moved, final]
        except OSError:
            for path in moved:
                files.remove(path)
            raise
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(claim)


def _show(source, target):
    """Renames once and syncs the folder to the disk."""
    os.rename(source, target)
    files.sync_folder(os.path.dirname(target))


def next_version(output: str) -> int:
    """Returns the number after the highest version in the folder, in any format; "007" is 7, as for servers."""
    claims = {int(name.removeprefix(_CLAIM)) for name in files.names(output) if name.startswith(_CLAIM)}
    return 1 + max(claims.union(*(_numbers(output, folder) for folder in ("", *suffixes()))), default=0)


def check_free(output: str, version: int | None) -> None:
    """Raises a `ConfigError` if a version already exists, in any format."""
    if version and any(version in _numbers(output, folder) for folder in ("", *suffixes())):
        free = next_version(output)
        raise ConfigError(f"--version={version}: already exists, in {output}; {free} would be the next")


def _numbers(output, folder=""):
    """Returns the versions of which a folder of `output` holds files."""
    names = files.names(os.path.join(output, folder))
    names = [name.split(".")[0].split("-")[0] for name in names] if folder else names
    return {int(name) for name in names if name.isdecimal()}


def _claim(output, version):
    """Reserves a number for this process: creating its folder succeeds only once, on every file system."""
    while True:
        check_free(output, version)
        number = version or next_version(output)
        try:
            os.mkdir(os.path.join(output, f"{_CLAIM}{number}"))
            return number
        except FileExistsError:
            if version:
                raise ConfigError(f"--version={version}: another export is publishing it now, in {output}") from None


@contextlib.contextmanager
def _locked(output, seconds):
    """Lets one process publish or clean up at a time, so that versions appear in the order of their numbers.

    Yields whether there is a lock: on a file system without locks, only claims keep versions apart.

    Raises:
        Timeout: another process holds the lock for longer than `seconds`.
    """
    lock = FileLock(os.path.join(output, ".publishing.lock"))
    try:
        lock.acquire(timeout=seconds)
    except NotImplementedError:
        yield False
        return
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL):
            raise
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def clean_up(output: str, own: str = "") -> list[str]:
    """Removes files of killed exports: temporary folders, claims, and files of versions that never became visible.

    If another export publishes for long, nothing is removed; the next export removes it.

    Args:
        output: the folder that servers read.
        own: the temporary folder of this process.

    Returns:
        The names of the removed files and folders.
    """
    removed: list[str] = []
    with contextlib.suppress(Timeout), _locked(output, 60) as locked:
        for name in files.names(output):
            path = os.path.join(output, name)
            if name.startswith(_ASIDE) and os.path.realpath(path) != os.path.realpath(own) and _is_abandoned(path):
                number = _read_text(os.path.join(path, _NUMBER))
                if number.isdecimal() and not os.path.isdir(os.path.join(output, number)):
                    removed += _remove_files(output, number)
                files.remove_folder(path)
                removed.append(name)
            elif name.startswith(_CLAIM) and (locked or _is_old(path, _ABANDONED_AFTER)):  # no process publishes now
                with contextlib.suppress(OSError):
                    os.rmdir(path)
                    removed.append(name)
    return removed


def _remove_files(output, number):
    """Removes the other artifacts of a version whose SavedModel is missing."""
    removed = []
    for folder, ending in suffixes().items():
        for path in glob.glob(os.path.join(output, folder, f"{number}*{ending}")):
            if os.path.basename(path).split(".")[0].split("-")[0] == number:
                files.remove(path)
                removed.append(os.path.relpath(path, output))
    return removed


def _is_abandoned(staging):
    """Returns whether the process that created a folder has ended: its lock is free."""
    lock = FileLock(os.path.join(staging, _LOCK))
    if not os.path.exists(lock.lock_file):
        return _is_old(staging, 60)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except (NotImplementedError, OSError):
        return _is_old(staging, _ABANDONED_AFTER)
    lock.release()
    return True


def _is_old(path, seconds):
    try:
        return time.time() - os.stat(path).st_mtime > seconds
    except OSError:
        return False


def sync_tree(folder: str) -> None:
    """Syncs all files below a folder to the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            files.sync_file(os.path.join(root, name))
        files.sync_folder(root)


def _read_text(path):
    try:
        return files.read(path).decode()
    except (OSError, UnicodeDecodeError):
        return ""
