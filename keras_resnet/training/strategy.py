"""Makes the tf.distribute strategy of a command, and keeps its workers at the same step."""

import glob
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from keras_resnet.errors import ConfigError, LostWorkerError
from keras_resnet.training.cluster import in_slurm, slurm_port

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


def make_strategy(name: str, virtual_devices: int = 0, require_gpus: int = 0) -> tf.distribute.Strategy:
    """Makes the strategy; must be called before other code initializes a device.

    Args:
        name: "one_device", "mirrored" (every GPU of this machine) or "multi_worker" (`TF_CONFIG`, or SLURM).
        virtual_devices: number of devices to split the CPU into, to try mirrored training without GPUs.
        require_gpus: minimum number of GPUs.

    Raises:
        ConfigError: TensorFlow sees fewer GPUs than required, or SLURM's variables describe no cluster.
    """
    tf.get_logger().setLevel("ERROR")  # tf.distribute warns about normal conditions on CPUs
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and nvidia_device_present():
        print(
            "WARNING: this machine has an NVIDIA device, but TensorFlow sees none and trains on the CPU. "
            "The extra `gpu` (`make gpu` in a clone) installs TensorFlow's CUDA libraries.",
            flush=True,
        )
    if len(gpus) < require_gpus:
        raise ConfigError(
            f"--require_gpus={require_gpus}: TensorFlow sees {len(gpus)} GPUs; the extra `gpu` (`make gpu` in a clone) "
            "installs its CUDA libraries"
        )
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    cpus = []
    if virtual_devices:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * virtual_devices)
        cpus = [f"CPU:{i}" for i in range(virtual_devices)]

    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus and not cpus else "CPU:0")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(cpus or None)
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=_slurm_cluster() if in_slurm() else None)


def _slurm_cluster():
    """Returns a cluster resolver with the tasks of this SLURM step as workers.

    SLURM assigns the GPUs (`--gpus-per-task`). TensorFlow's resolver would assign them itself, and fails if a task sees
    only its own or if there are none; with one GPU per task as argument, it leaves the environment unchanged.
    """
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    try:
        return tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=slurm_port(), gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"SLURM's variables (SLURM_STEP_NODELIST and others): {error}") from None


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def compiles_by_default(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether steps are compiled with XLA by default: only on one GPU.

    On CPUs, XLA's convolutions take more than twice as long. On several GPUs, Keras does not compile either.
    """
    return bool(tf.config.list_physical_devices("GPU")) and strategy.num_replicas_in_sync == 1


def nvidia_device_present() -> bool:
    """Returns whether the operating system has an NVIDIA device, even if TensorFlow sees none."""
    return bool(glob.glob("/dev/nvidia[0-9]*"))


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
            # They hold a thread pool that TensorFlow left open, which prints a traceback if it lives until Python ends.
            traceback.clear_frames(error.__traceback__)
            raise LostWorkerError(
                f"another worker is gone ({reason}); start all again, and the run resumes from its last checkpoint"
            ) from error

    def _sum(self, number):
        """Returns the sum over all replicas; each replica has the number of its worker."""
        return int(self._total(tf.constant(int(number), tf.int64)))
