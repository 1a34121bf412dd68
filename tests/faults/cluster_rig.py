"""Two real workers on this machine."""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time

from conftest import ROOT

from keras_resnet.training.cluster import FIRST_PORT, PORTS


class Cluster:
    """Two processes of train.py, as TF_CONFIG or SLURM's srun would start them.

    Args:
        folder: the run's.
        flags: of both.
        slurm: whether SLURM's variables tell them of each other.
    """

    def __init__(self, folder, flags, slurm=False):
        self.folder = folder
        variables = _slurm() if slurm else _tf_config()
        command = [sys.executable, "train.py", "--strategy=multi_worker", f"--workdir={folder}", *flags]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("TF_CONFIG", "SLURM_"))}
        self.processes = [
            subprocess.Popen(
                command, cwd=ROOT, env=clean | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for own in variables
        ]

    def wait(self, timeout=300):
        """Exit codes, outputs and errors of both."""
        try:
            outputs = [process.communicate(timeout=timeout) for process in self.processes]
        finally:
            for process in self.processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        return [process.returncode for process in self.processes], *zip(*outputs, strict=True)

    def when(self, path, worker, number):
        """Sends a worker a signal once there is something in a file; returns the time."""
        while not (path.exists() and path.stat().st_size):
            assert all(process.poll() is None for process in self.processes), self.wait()
            time.sleep(0.01)
        self.processes[worker].send_signal(number)
        return time.monotonic()


def _tf_config():
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    for index in range(2):
        task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        yield {"TF_CONFIG": json.dumps(task)}


def _slurm():
    job = next(job for job in itertools.count(os.getpid()) if _are_free(FIRST_PORT + job % PORTS, 2))
    for rank in range(2):
        yield {
            "SLURM_JOB_ID": str(job),
            "SLURM_PROCID": str(rank),
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_STEP_TASKS_PER_NODE": "2",
        }


def _are_free(first, count):
    for port in range(first, first + count):
        with socket.socket() as each, contextlib.suppress(OSError):
            each.bind(("127.0.0.1", port))
            continue
        return False
    return True


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
