"""Files that are whole or absent, also after a crash or on a full disk."""

import contextlib
import os


def write_aside(path: str, content: bytes) -> None:
    """Writes a file under a temporary name, makes sure that it is on the disk, and renames it once.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    aside = f"{path}.tmp-{os.getpid()}"
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(aside)
        raise
