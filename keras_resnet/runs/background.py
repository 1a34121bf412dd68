"""Work that the training loop does not wait for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """Runs jobs one after the other in one thread. At most one waits, so that what it holds in memory is bounded."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._job: Future | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Starts a job when the former one has ended; raises what that one raised, and does not start then."""
        self.wait()
        self._job = self._pool.submit(job)

    def check(self) -> None:
        """Raises what the last job raised, if it has ended; takes no time."""
        if self._job and self._job.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the last job, and raises what it raised."""
        job, self._job = self._job, None
        if job:
            job.result()

    def close(self) -> None:
        """Waits for the last job, whatever it met, and ends the thread."""
        self._pool.shutdown()
