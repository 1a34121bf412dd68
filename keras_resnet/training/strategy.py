"""Makes the tf.distribute strategy from --strategy, --virtual_devices and --require_gpus."""

import glob
import os

import tensorflow as tf

from keras_resnet.errors import ConfigError
from keras_resnet.training.cluster import in_slurm, slurm_port


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
