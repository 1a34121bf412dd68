"""Runs command lines in processes of their own that have TensorFlow loaded already: forks of one that imported it.

Importing TensorFlow takes ten seconds, and the tests start hundreds of commands. A fork runs what `keras-resnet train
...` or `keras-resnet ...` would: the same file as `__main__`, its own arguments, folder, environment and outputs.
TensorFlow loads Keras with its own backend, so a command with another one needs a fresh process.
"""

import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path


class ForkServer:
    """The process that forks: one for all processes of a test run, started by the first that needs it.

    It ends when the process that made the first of these objects has ended: the one that starts the others.
    """

    VARIABLE = "KERAS_RESNET_TESTS_FORK_SERVER"  # names the socket to the processes that run tests

    def __init__(self):
        if self.VARIABLE not in os.environ:
            self._folder = tempfile.TemporaryDirectory()
            os.environ[self.VARIABLE] = os.path.join(self._folder.name, f"{os.getpid()}.socket")
        self._socket = Path(os.environ[self.VARIABLE])

    def run(
        self, command: list[str], cwd: str, env: dict[str, str], timeout: float, signals=()
    ) -> subprocess.CompletedProcess:
        """Runs `python COMMAND...` to its end, and returns what subprocess.run would.

        Args:
            command, cwd, env, timeout: as there.
            signals: what is sent to it, in this order: (file that must be there and not empty, or None; seconds after
                that, or after the signal before; number of the signal).
        """
        with tempfile.TemporaryDirectory() as folder:
            outputs = [os.path.join(folder, name) for name in ("stdout", "stderr")]
            job = {"command": command, "cwd": cwd, "env": env, "outputs": outputs, "timeout": timeout}
            job["signals"] = [[path and str(path), seconds, number] for path, seconds, number in signals]
            with self._connect() as connection, connection.makefile("rw", encoding="utf-8") as lines:
                print(json.dumps(job), file=lines, flush=True)
                code = int(lines.readline())
            texts = []
            for path in outputs:
                with open(path, encoding="utf-8") as file:
                    texts.append(file.read())
        return subprocess.CompletedProcess(command, code, *texts)

    def start(self):
        """Starts the process if none has started it, and does not wait for it."""
        started = self._socket.with_suffix(".started")
        with contextlib.suppress(FileExistsError):
            started.touch(exist_ok=False)
            root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
            subprocess.Popen(
                [sys.executable, __file__, self._socket],
                env=os.environ | {"PYTHONPATH": root},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def _connect(self):
        self.start()
        give_up = time.monotonic() + 120
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self._socket))
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)


def rare_collections():
    """Lets Python look for garbage seldom, and not in what is loaded: a tenth of the time of what traces graphs."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    gc.enable()


class _Job(socketserver.StreamRequestHandler):
    def handle(self):
        job = json.loads(self.rfile.readline())
        child = os.fork()
        if child == 0:
            signal.alarm(int(job["timeout"]))  # ends a command that hangs
            os._exit(_run(job))
        self.wfile.write(b"%d\n" % os.waitstatus_to_exitcode(_wait(child, job["signals"])))


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 64

    def service_actions(self):
        super().service_actions()
        try:
            os.kill(int(Path(self.server_address).stem), 0)
        except ProcessLookupError:  # the test run has ended
            sys.exit()


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
    gc.disable()
    import tensorflow as tf

    rare_collections()
    if os.environ.get("FAULTS") != "long":  # a quarter less time: short runs trace more than they compute
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    with _Server(sys.argv[1], _Job) as server:
        server.serve_forever()
