"""Checks of a worker's cluster, from `TF_CONFIG` or SLURM's variables, without loading TensorFlow."""

import json
import os

from keras_resnet.errors import ConfigError

SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")
FIRST_PORT, PORTS = 12000, 20000


def check_cluster() -> None:
    """Raises a `ConfigError` if neither `TF_CONFIG` nor SLURM names this worker in its cluster."""
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    text = os.environ.get("TF_CONFIG")
    if not text:
        if in_slurm():
            return
        raise ConfigError(
            "--strategy=multi_worker: the variable TF_CONFIG is not set, and this is no task of SLURM's srun; "
            f"expected, for example, TF_CONFIG={example}"
        )
    try:
        config = json.loads(text)
        task = config["task"]
        config["cluster"][task["type"]][int(task["index"])]
    except (ValueError, KeyError, IndexError, TypeError):
        raise ConfigError(f"TF_CONFIG: expected, for example, {example}, got {text[:200]}") from None


def in_slurm() -> bool:
    """Returns whether this process is a task of a SLURM step; False if `TF_CONFIG` is set, which takes precedence."""
    return not os.environ.get("TF_CONFIG") and all(name in os.environ for name in SLURM)


def slurm_port() -> int:
    """Returns the first port of a node's tasks: equal for all tasks of a job, and different for most jobs on a node."""
    return FIRST_PORT + int(os.environ.get("SLURM_JOB_ID", "0")) % PORTS
