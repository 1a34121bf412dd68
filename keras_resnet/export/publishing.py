"""Versions of an export: written aside, renamed into sight once, never replaced, never half there.

| in `output` | |
|---|---|
| <version>/ | a SavedModel; servers look for the highest number |
| litert/<version>*.tflite, onnx/<version>.onnx | other artifacts of the same version, there before the SavedModel is |
| .tmp-* | an export that is being written, or was killed; swept by the next one |
| .claim-<version> | a number that is being given out; where files cannot be locked, its making alone decides |
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

SAVED_MODEL = "saved_model"
OTHERS = {"litert": ".tflite", "onnx": ".onnx"}  # folder of `output`: how its files end
_ASIDE, _CLAIM, _LOCK, _NUMBER = ".tmp-", ".claim-", "lock", "version"
_ABANDONED_AFTER = 24 * 3600  # seconds, where no lock tells whether somebody still writes


@contextlib.contextmanager
def writing_aside(output: str) -> Iterator[str]:
    """A new folder in `output` to write an export into; it is gone at the end, whatever happened.

    What exports that were killed left behind is removed first.

    Raises:
        ConfigError: `output` cannot be written.
        DiskError: what is written in the scope does not fit on the disk, or cannot be written.
    """
    if files.is_remote(output):
        raise ConfigError(
            f"--output={output}: expected a folder on a disk; copy finished versions to stores of objects"
        )
    try:
        os.makedirs(output, exist_ok=True)
        aside = tempfile.mkdtemp(prefix=_ASIDE, dir=output)
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written ({error.strerror})") from None
    alive = FileLock(os.path.join(aside, _LOCK))  # held while this process lives, and no longer
    try:
        with contextlib.suppress(NotImplementedError, OSError):
            alive.acquire(timeout=0)
        sweep(output, aside)
        yield aside
    except OSError as error:
        free = files.free_bytes(output)
        room = "" if free is None or error.errno != errno.ENOSPC else f"; {free:,} bytes are free there"
        raise DiskError(
            f"{output}: cannot be written ({error.strerror or error}){room}; nothing was published"
        ) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        alive.release()


def publish(
    aside: str, output: str, version: int | None = None, complete: Callable[[int], None] = lambda number: None
) -> tuple[int, list[str]]:
    """Moves what lies in `aside` into sight, under the next free version or under the one that is asked for.

    Args:
        aside: holds "saved_model/" and perhaps "litert/*.tflite", "onnx/*.onnx" whose names begin with "version".
        output: the folder that servers look at.
        version: a number that is free; None for the one after the highest.
        complete: called with the version before anything is in sight; may still write into `aside`.

    Returns:
        The version, and the paths of what was published, the SavedModel last.

    Raises:
        ConfigError: the version is there already.
    """
    sync_tree(aside)  # most of the time goes here, while others may publish
    with _locked(output, 600):
        number = _claim(output, version)
        claim = os.path.join(output, f"{_CLAIM}{number}")
        moved: list[str] = []
        try:
            files.write_synced(os.path.join(aside, _NUMBER), str(number).encode())
            complete(number)
            sync_tree(aside)
            for folder, ending in OTHERS.items():
                for path in sorted(glob.glob(os.path.join(aside, folder, f"version*{ending}"))):
                    name = os.path.basename(path).replace("version", str(number), 1)
                    os.makedirs(os.path.join(output, folder), exist_ok=True)
                    _show(path, os.path.join(output, folder, name))
                    moved.append(os.path.join(output, folder, name))
            final = os.path.join(output, str(number))
            _show(os.path.join(aside, SAVED_MODEL), final)  # from here on the version is there
            return number, [*moved, final]
        except OSError:
            for path in moved:
                files.remove(path)
            raise
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(claim)


def _show(source, target):
    """Renames once, and makes sure that the disk knows of it."""
    os.rename(source, target)
    files.sync_folder(os.path.dirname(target))


def next_version(output: str) -> int:
    """The whole number after the highest that the folder holds, in whatever format; "007" is 7, as for servers."""
    claims = {int(name.removeprefix(_CLAIM)) for name in files.names(output) if name.startswith(_CLAIM)}
    return 1 + max(claims.union(*(_numbers(output, folder) for folder in ("", *OTHERS))), default=0)


def check_free(output: str, version: int | None) -> None:
    """Raises a `ConfigError` where a version is there already, in whatever format."""
    if version and any(version in _numbers(output, folder) for folder in ("", *OTHERS)):
        free = next_version(output)
        raise ConfigError(f"--version={version}: is there already, in {output}; {free} would be the next")


def _numbers(output, folder=""):
    """Versions that a folder of `output` holds something of."""
    names = files.names(os.path.join(output, folder))
    names = [name.split(".")[0].split("-")[0] for name in names] if folder else names
    return {int(name) for name in names if name.isdecimal()}


def _claim(output, version):
    """A number that nobody else has: making its folder succeeds once, on every file system."""
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
    """One process publishes or sweeps at a time, so that versions come into sight in the order of their numbers.

    Yields whether there is a lock: where the file system has none, claims alone keep versions apart.

    Raises:
        Timeout: another process has it for longer than so many seconds.
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


def sweep(output: str, own: str = "") -> list[str]:
    """Removes what killed exports left: folders aside, claims, and files of versions that never came into sight.

    While another export publishes for long, nothing is removed; the next one will do it.

    Args:
        output: the folder that servers look at.
        own: the folder aside of this process.

    Returns:
        The names of what was removed.
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
            elif name.startswith(_CLAIM) and (locked or _is_old(path, _ABANDONED_AFTER)):  # nobody publishes now
                with contextlib.suppress(OSError):
                    os.rmdir(path)
                    removed.append(name)
    return removed


def _remove_files(output, number):
    """Removes a version's files beside its SavedModel, which is not there."""
    removed = []
    for folder, ending in OTHERS.items():
        for path in glob.glob(os.path.join(output, folder, f"{number}*{ending}")):
            if os.path.basename(path).split(".")[0].split("-")[0] == number:
                files.remove(path)
                removed.append(os.path.relpath(path, output))
    return removed


def _is_abandoned(aside):
    """Whether the process that made a folder is gone: its lock can be had."""
    lock = FileLock(os.path.join(aside, _LOCK))
    if not os.path.exists(lock.lock_file):
        return _is_old(aside, 60)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except (NotImplementedError, OSError):
        return _is_old(aside, _ABANDONED_AFTER)
    lock.release()
    return True


def _is_old(path, seconds):
    try:
        return time.time() - os.stat(path).st_mtime > seconds
    except OSError:
        return False


def sync_tree(folder: str) -> None:
    """Makes sure that all files below a folder are on the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            files.sync_file(os.path.join(root, name))
        files.sync_folder(root)


def _read_text(path):
    try:
        return files.read(path).decode()
    except (OSError, UnicodeDecodeError):
        return ""
