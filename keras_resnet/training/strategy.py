"""--strategy, --virtual_devices, --require_gpus -> a tf.distribute strategy."""

import glob
import os

import tensorflow as tf

from keras_resnet.errors import ConfigError
from keras_resnet.training.cluster import in_slurm, slurm_port


def make_strategy(name: str, virtual_devices: int = 0, require_gpus: int = 0) -> tf.distribute.Strategy:
    """Makes the strategy; must come before anything else that touches a device.

    Args:
        name: "one_device", "mirrored" (every GPU of this machine) or "multi_worker" (`TF_CONFIG`, or SLURM).
        virtual_devices: split the CPU into so many devices, to try mirrored training without GPUs.
        require_gpus: refuse to start with fewer.

    Raises:
        ConfigError: there are fewer GPUs than required, or SLURM's variables describe no cluster.
    """
    tf.get_logger().setLevel("ERROR")  # tf.distribute warns of what is normal on CPUs
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and nvidia_device_present():
        print(
            "WARNING: this machine has an NVIDIA device, but TensorFlow sees none and trains on the CPU. "
            "`make gpu` installs TensorFlow's CUDA libraries.",
            flush=True,
        )
    if len(gpus) < require_gpus:
        raise ConfigError(
            f"--require_gpus={require_gpus}: TensorFlow sees {len(gpus)} GPUs; `make gpu` installs its CUDA libraries"
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
    """The tasks of this SLURM step as workers. Which GPUs a task sees is SLURM's to say (`--gpus-per-task`).

    TensorFlow's resolver would deal them out itself, and fails where a task sees its own alone, or there are none; it
    is told of one for each task, and leaves the environment as it is.
    """
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    try:
        return tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=slurm_port(), gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"SLURM's variables (SLURM_STEP_NODELIST and others): {error}") from None


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def compiles_by_default(strategy: tf.distribute.Strategy) -> bool:
    """Whether steps are compiled with XLA where the configuration leaves it open: on one GPU.

    On CPUs XLA's convolutions take more than twice as long; over several GPUs Keras too leaves it off.
    """
    return bool(tf.config.list_physical_devices("GPU")) and strategy.num_replicas_in_sync == 1


def nvidia_device_present() -> bool:
    """Whether the operating system knows an NVIDIA device, whatever TensorFlow sees."""
    return bool(glob.glob("/dev/nvidia[0-9]*"))
