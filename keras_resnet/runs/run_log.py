"""The run log, log.txt: when each process started, resumed and stopped, and its warnings."""

import contextlib
import os
import socket
from datetime import UTC, datetime

from keras_resnet.files import is_remote, read, write_atomically


class RunLog:
    """Appends lines to a file and ignores write errors; silent for all workers except the chief."""

    def __init__(self, path: str, silent: bool = False):
        self._path, self._silent = path, silent

    def write(self, text: str) -> None:
        """Appends a line with the time and the process."""
        if not self._silent:
            with contextlib.suppress(OSError):
                self._add(text)

    def _add(self, text):
        time = datetime.now(UTC).isoformat(timespec="seconds")
        line = f"{time}  {socket.gethostname()}:{os.getpid()}  {text}\n"
        if is_remote(self._path):  # object stores cannot append
            try:
                former = read(self._path)
            except FileNotFoundError:
                former = b""
            write_atomically(self._path, former + line.encode())
        else:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(line)
