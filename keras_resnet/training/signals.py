"""Signal handling: SIGTERM and SIGINT make a run save a checkpoint before it ends."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from keras_resnet.errors import Stopped


@contextlib.contextmanager
def leaves_at_once() -> Iterator[None]:
    """Makes SIGINT end the process with exit code 130 within its scope, before a run has anything to save.

    Python's own KeyboardInterrupt would become an ImportError of the library that is being loaded.
    """

    def leave(*_):
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)

    if threading.current_thread() is not threading.main_thread():  # Python sets handlers only there
        yield
        return
    former = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


class StopRequest:
    """Records the first SIGTERM or SIGINT within its scope; a second SIGINT ends the process at once.

    Attributes:
        signal: the received signal, or None.
    """

    def __init__(self):
        self.signal: signal.Signals | None = None
        self._former: dict = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python sets handlers only there
            for number in (signal.SIGTERM, signal.SIGINT):
                self._former[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_):
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _remember(self, number, _):
        self.signal = self.signal or signal.Signals(number)
        # The system's default handler ends the process even during a long call into TensorFlow.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def stopped(self, where: str) -> Stopped:
        """Returns the exception that ends the run, with exit code 143 after SIGTERM and 130 after SIGINT."""
        by = self.signal or signal.SIGTERM  # another worker received it, and it may have been either one
        return Stopped(f"stopped by {by.name}; {where}", 128 + by)
