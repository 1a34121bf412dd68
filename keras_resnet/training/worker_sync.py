"""Synchronization of workers, which must save, stop and restore at the same step."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from keras_resnet.errors import ConfigError, LostWorkerError

SYNC_EVERY = 10  # steps between checks for a worker that received a signal

# TensorFlow raises these, in a step or from its cluster health check, if a peer no longer answers.
_OF_A_LOST_PEER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class Workers:
    """The worker processes of a run; a single one for most strategies."""

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self.several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

        @tf.function
        def total(value):
            return strategy.reduce("sum", strategy.run(lambda x: x, args=(value,)), axis=None)

        self._total = total

    def any(self, here: bool) -> bool:
        """Returns whether `here` is true on any worker; all workers must call it."""
        return self._sum(here) > 0 if self.several else here

    def wait(self) -> None:
        """Waits until every worker has called it."""
        self.any(False)

    def check_same(self, number: int, what: str) -> None:
        """Raises a `ConfigError` if the workers do not have the same number; all workers must call it."""
        if not self.several:
            return
        # The variance is 0 only if all numbers are equal.
        if self._sum(number**2) * self._strategy.num_replicas_in_sync != self._sum(number) ** 2:
            same = "all must get the same command and see the same --workdir"
            raise ConfigError(f"{what}: {number} here, another on another worker; {same}")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Converts TensorFlow's errors for a lost worker into a `LostWorkerError` with one line."""
        try:
            yield
        except _OF_A_LOST_PEER as error:
            if not self.several:
                raise
            reason = error.message.rpartition("}} ")[2].partition("\n")[0][:100]  # after the operation's name
            raise LostWorkerError(
                f"another worker is gone ({reason}); start all again, and the run resumes from its last checkpoint"
            ) from error

    def _sum(self, number):
        """Returns the sum over all replicas; each replica has the number of its worker."""
        return int(self._total(tf.constant(int(number), tf.int64)))
