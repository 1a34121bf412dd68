"""Runs train.py, and kills it where it is told to.

    python tests/faults/die_at.py MODULE:FUNCTION:before|after:COUNT [train.py's flags]

MODULE is below `keras_resnet.training`; at the COUNT-th call of FUNCTION there, the process kills itself as `kill -9`
would, before or after the call.
"""

import functools
import importlib
import os
import runpy
import signal
import sys


def arm(point):
    """Replaces the function by one that counts and kills."""
    module, path, when, count = point.split(":")
    owner = importlib.import_module(f"keras_resnet.training.{module}")
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    function, calls = getattr(owner, name), iter(range(1, 10**9))

    @functools.wraps(function)
    def deadly(*args, **kwargs):
        due = next(calls) == int(count)
        if due and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.argv = ["train.py", *sys.argv[2:]]
    sys.path.insert(0, os.getcwd())
    runpy.run_path("train.py", run_name="__main__")
