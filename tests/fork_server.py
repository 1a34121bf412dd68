"""Runs command lines in processes of their own that have TensorFlow loaded already: forks of one that imported it.

Importing TensorFlow takes seconds, and the tests start hundreds of commands. A fork runs what `keras-resnet train ...`
or `keras-resnet ...` would: the same file as `__main__`, its own arguments, folder, environment and outputs.
TensorFlow loads Keras with its own backend, so a command with another one needs a fresh process.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
import traceback


class ForkServer:
    """A process that forks; start it once per process of tests."""

    def __init__(self):
        self._process = None

    def run(
        self, command: list[str], cwd: str, env: dict[str, str], timeout: float, signals=()
    ) -> subprocess.CompletedProcess:
        """Runs `python COMMAND...` to its end, and returns what subprocess.run would.

        Args:
            command, cwd, env, timeout: as there.
            signals: what is sent to it, in this order: (file that must be there and not empty, or None; seconds after
                that, or after the signal before; number of the signal).
        """
        if self._process is None:
            root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": root},
            )
        with tempfile.TemporaryDirectory() as folder:
            outputs = [os.path.join(folder, name) for name in ("stdout", "stderr")]
            job = {"command": command, "cwd": cwd, "env": env, "outputs": outputs, "timeout": timeout}
            job["signals"] = [[path and str(path), seconds, number] for path, seconds, number in signals]
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            texts = []
            for path in outputs:
                with open(path, encoding="utf-8") as file:
                    texts.append(file.read())
        return subprocess.CompletedProcess(command, code, *texts)

    def stop(self):
        """Ends the process."""
        if self._process:
            self._process.stdin.close()
            self._process.wait()


def serve():
    """Reads a job per line, runs it in a fork, and answers with its exit code."""
    import signal

    import tensorflow as tf

    if os.environ.get("FAULTS") != "long":  # a quarter less time: short runs trace more than they compute
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.alarm(int(job["timeout"]))  # ends a command that hangs
            os._exit(_run(job))
        status = _wait(child, job["signals"])
        print(os.waitstatus_to_exitcode(status), flush=True)


def _wait(child, signals):
    """Sends the signals when they are due, and returns the status that the child ends with."""
    for path, seconds, number in signals:
        due = None
        while due is None or time.monotonic() < due:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            if due is None and (path is None or (os.path.exists(path) and os.path.getsize(path))):
                due = time.monotonic() + seconds
            time.sleep(0.002)
        os.kill(child, number)
    return os.waitpid(child, 0)[1]


def _run(job):
    for number, path in enumerate(job["outputs"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    first, *rest = job["command"]
    code = 0
    try:
        if first == "-m":
            sys.argv, sys.path[0] = rest, ""
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = [first, *rest], os.path.dirname(os.path.abspath(first))
            runpy.run_path(first, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
