"""What several workers must do at the same step, they find out together."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from keras_resnet.errors import ConfigError, LostWorkerError

SYNC_EVERY = 10  # steps between questions whether a worker was told to stop

# What TensorFlow raises, in a step or from its watch over the cluster, where a peer no longer answers.
_OF_A_LOST_PEER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


class Workers:
    """The processes that train together; one, for most strategies."""

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self.several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

        @tf.function
        def total(value):
            return strategy.reduce("sum", strategy.run(lambda x: x, args=(value,)), axis=None)

        self._total = total

    def any(self, here: bool) -> bool:
        """Whether it holds for any worker; all of them must ask."""
        return self._sum(here) > 0 if self.several else here

    def wait(self) -> None:
        """Returns when every worker has come here."""
        self.any(False)

    def check_same(self, number: int, what: str) -> None:
        """Raises a `ConfigError` where the workers do not have the same number; all of them must ask."""
        if not self.several:
            return
        # Equal numbers alone have no variance.
        if self._sum(number**2) * self._strategy.num_replicas_in_sync != self._sum(number) ** 2:
            same = "all must get the same command and see the same --workdir"
            raise ConfigError(f"{what}: {number} here, another on another worker; {same}")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turns what TensorFlow raises for a lost worker into one line."""
        try:
            yield
        except _OF_A_LOST_PEER as error:
            if not self.several:
                raise
            reason = error.message.rpartition("}} ")[2].partition("\n")[0][:100]  # after the operation's name
            raise LostWorkerError(
                f"another worker is gone ({reason}); start all again, and the run goes on from its last checkpoint"
            ) from error

    def _sum(self, number):
        """Over all replicas, each of which has its worker's number."""
        return int(self._total(tf.constant(int(number), tf.int64)))
