"""A background thread for work that the training loop does not wait for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """Runs jobs one after the other in one thread. At most one job exists, which bounds memory use."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._job: Future | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Starts a job after the previous one has ended; if that one failed, raises its exception instead."""
        self.wait()
        self._job = self._pool.submit(job)

    def check(self) -> None:
        """Raises the exception of the last job if it has ended with one; does not wait."""
        if self._job and self._job.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the last job, and raises its exception."""
        job, self._job = self._job, None
        if job:
            job.result()

    def close(self) -> None:
        """Waits for the last job, ignores its exception, and ends the thread."""
        self._pool.shutdown()
