"""SIGTERM and SIGINT as requests: a run saves before it leaves."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from keras_resnet.errors import Stopped


@contextlib.contextmanager
def leaves_at_once() -> Iterator[None]:
    """In its scope SIGINT ends the process with 130: before a run begins, nothing has to be saved.

    Python's own KeyboardInterrupt becomes an ImportError of whichever library is being loaded.
    """

    def leave(*_):
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)

    if threading.current_thread() is not threading.main_thread():  # Python allows it nowhere else
        yield
        return
    former = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


class StopRequest:
    """In its scope, the first SIGTERM or SIGINT is remembered; a second SIGINT ends the process at once.

    Attributes:
        signal: what came, or None.
    """

    def __init__(self):
        self.signal: signal.Signals | None = None
        self._former: dict = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            for number in (signal.SIGTERM, signal.SIGINT):
                self._former[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_):
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _remember(self, number, _):
        self.signal = self.signal or signal.Signals(number)
        # The system's own handler ends the process also within a long call into TensorFlow.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def stopped(self, where: str) -> Stopped:
        """What ends the run, told apart by its exit code: 143 after SIGTERM, 130 after SIGINT."""
        by = self.signal or signal.SIGTERM  # another worker's, which may have been either
        return Stopped(f"stopped by {by.name}; {where}", 128 + by)
