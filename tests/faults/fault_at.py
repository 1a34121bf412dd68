"""Runs train.py or export.py, and has something go wrong where it is told to.

    python tests/faults/fault_at.py POINT[,POINT...] [export.py] [flags]

A POINT is MODULE:FUNCTION:before|after:COUNT:FAULT. MODULE is below `keras_resnet`; the fault comes before or after
the COUNT-th call of FUNCTION there:

    kill  the process ends as by `kill -9`
    full  from now on no file can grow beyond 100 kB, as on a full disk
    nan   of the batches that the call returns, that of step COUNT is not a number, until the run has rolled back
"""

import functools
import importlib
import os
import resource
import runpy
import signal
import sys

FULL = 100_000


def arm(point):
    """Replaces the function by one that counts."""
    module, path, when, count, fault = point.split(":")
    owner = importlib.import_module(f"keras_resnet.{module}")
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    function, calls = getattr(owner, name), iter(range(1, 10**9))

    @functools.wraps(function)
    def faulty(*args, **kwargs):
        if fault == "nan":
            return spoil(function(*args, **kwargs), args[2], int(count))
        due = next(calls) == int(count)
        if due and when == "before":
            FAULTS[fault]()
        result = function(*args, **kwargs)
        if due and when == "after":
            FAULTS[fault]()
        return result

    setattr(owner, name, faulty)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def fill_the_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, FULL))


def spoil(batches, start_step, spoilt):
    """Sets one batch's images to NaN."""
    import tensorflow as tf

    run = next(argument for argument in sys.argv if argument.startswith("--workdir=")).removeprefix("--workdir=")
    for step, batch in enumerate(batches, start_step + 1):
        (images, *targets), weights = batch
        if step == spoilt and not os.path.exists(os.path.join(run, "divergences.json")):
            images = images * tf.constant(float("nan"))
        yield (images, *targets), weights


FAULTS = {"kill": kill, "full": fill_the_disk}

if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    for each in sys.argv[1].split(","):
        arm(each)
    sys.argv = sys.argv[2:] if sys.argv[2] == "export.py" else ["train.py", *sys.argv[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
