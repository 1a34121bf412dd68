"""Runs the incomplete jobs of an experiment in parallel worker processes, and displays their progress."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import IO, cast

from rich.console import Console

from keras_resnet.console import ProgressBar, time_left
from keras_resnet.errors import ConfigError, UserError
from keras_resnet.files import make_folder
from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training, cost
from keras_resnet.reproduce.worker import to_json
from keras_resnet.runs.logs import read_metrics
from keras_resnet.training.signals import StopRequest

LINE_EVERY = 30  # seconds between plain lines
ENOUGH = 1.0  # seconds of `cost` to complete before the time left is estimated


class ProgressDisplay:
    """Shows how much is done, and estimates the time left from the costs of the completed jobs.

    Args:
        experiment: the recipe and the folder.
        wanted: all jobs.
        pending: the jobs that are not complete yet.
    """

    def __init__(self, experiment: Experiment, wanted: list[Job], pending: list[Job]):
        self._study = experiment
        self._seen: dict[Job, float] = {}
        self._costs = {job: cost(experiment, job) for job in pending}
        self._began_at = {job: self._progress(job) if isinstance(job, Training) else 0.0 for job in pending}
        self._wanted, self._done = len(wanted), len(wanted) - len(pending)
        self._finished = 0.0
        self._console = Console(highlight=False, soft_wrap=True)
        self._bar = ProgressBar(self._console, "", sum(self._costs.values()), LINE_EVERY)

    def nothing_to_do(self) -> None:
        """Prints that all jobs are complete."""
        self._console.print(f"all {self._wanted} runs and measurements already exist ({self._study.workdir})")

    def __enter__(self):
        self._console.print(
            f"{self._wanted} runs and measurements, {self._done} already complete; workdir {self._study.workdir}",
            markup=False,
        )
        self._bar.start(0, "starting")
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def finished(self, job: Job) -> None:
        """Counts a completed job."""
        self._done += 1
        self._finished += self._costs[job] * (1 - self._began_at[job])

    def update(self, busy: list[Job]) -> None:
        """Shows the current progress of the `busy` jobs."""
        if not self._bar.is_due():
            return
        done = self._finished + sum(self._costs[job] * (self._progress(job) - self._began_at[job]) for job in busy)
        left = sum(cost * (1 - self._began_at[job]) for job, cost in self._costs.items()) - done
        estimate = time_left(left * self._bar.elapsed() / done if done >= ENOUGH else None)
        self._bar.show(done, f"{self._done}/{self._wanted}  {'; '.join(map(self._status, busy))}  {estimate}")

    def _status(self, job):
        if isinstance(job, Training):
            return f"{job.network} seed {job.seed} {self._progress(job):.0%}"
        return job.function.rpartition(":")[2]

    def _progress(self, job):
        """Returns the completed share of a run's steps, or of a measurement's estimated time (at most 0.95)."""
        if not isinstance(job, Training):
            now = time.monotonic()
            return min((now - self._seen.setdefault(job, now)) / job.seconds, 0.95)
        folder = self._study.folder(job)
        lines = read_metrics(folder.metrics)
        if not lines:
            return 0.0
        steps = folder.read_config().train.total_steps
        return min(lines[-1].get("step", 0) / steps, 1.0)


class FailedJob(UserError):
    """Raised if the user's settings or data do not allow a job; has the exit code of the job's error."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def make(experiment: Experiment, jobs: Iterable[Job], processes: int) -> None:
    """Runs the incomplete jobs: training runs first, seed by seed, so a report is possible before all seeds are done.

    Args:
        experiment: the recipe and the folder.
        jobs: runs and measurements; those with equal settings, and so with one file, run once. What a job needs
            runs before it.
        processes: number of worker processes; each uses its share of the cores.

    Raises:
        UserError: a job fails; the error has its exit code.
        Stopped: a signal arrived; every run has saved, and the same call resumes it.
    """
    wanted = list({_path(experiment, job): job for job in _with_needs(jobs)}.values())
    pending = sorted((job for job in wanted if not experiment.is_done(job)), key=_order)
    if pending:
        try:
            make_folder(experiment.workdir)
        except OSError as error:
            raise ConfigError(f"--workdir={experiment.workdir}: cannot be written ({error.strerror})") from None
    display = ProgressDisplay(experiment, wanted, pending)
    if not pending:
        if wanted:
            display.nothing_to_do()
        return
    with StopRequest() as stop, display:
        _WorkerPool(experiment, display, stop, processes).work(pending)


def _with_needs(jobs):
    for job in jobs:
        yield from _with_needs(_needs(job))
        yield job


def _path(experiment, job):
    return experiment.answer_file(job) if isinstance(job, Measurement) else experiment.folder(job).path


def _needs(job):
    """Returns the runs that must be complete before a job."""
    if isinstance(job, Measurement):
        return job.trainings
    return (job.starts_from,) if job.starts_from else ()


def _order(job):
    if isinstance(job, Training):
        return (0, job.seed)
    return (2 if job.alone else 1, 0)


class _WorkerPool:
    """The worker processes and their jobs."""

    def __init__(self, experiment, display, stop, processes):
        self.experiment, self.display, self.stop = experiment, display, stop
        self.processes = processes
        self.busy: dict[_Worker, Job] = {}
        self.idle: list[_Worker] = []
        self.selector = selectors.DefaultSelector()

    def work(self, pending):
        try:
            while pending or self.busy:
                self._hand_out(pending)
                self._listen()
                self.display.update(list(self.busy.values()))
                if self.stop.signal:
                    raise self.stop.stopped("the runs have saved, and the same command resumes from there")
        finally:
            crew = [*self.busy, *self.idle]
            for worker in crew:
                worker.tell_to_end()
            for worker in crew:
                worker.end()

    def _hand_out(self, pending):
        while len(self.busy) < self.processes:
            job = next((job for job in pending if self._ready(job)), None)
            if job is None:
                return
            pending.remove(job)
            if getattr(job, "alone", False):  # starts a new process, with memory and caches for this job only
                while self.idle:
                    self._dismiss(self.idle.pop())
            worker = self.idle.pop() if self.idle else self._start_worker(job)
            worker.begin(job)
            self.busy[worker] = job

    def _ready(self, job):
        if any(getattr(other, "alone", False) for other in self.busy.values()):
            return False
        alone = getattr(job, "alone", False)
        return all(map(self.experiment.is_done, _needs(job))) and not (alone and self.busy)

    def _start_worker(self, job):
        taken = {worker.number for worker in self.busy}
        number = next(number for number in range(self.processes) if number not in taken)
        share = max(1, (os.cpu_count() or 1) // self.processes)
        worker = _Worker(self.experiment, number, share)
        self.selector.register(worker.answers, selectors.EVENT_READ, worker)
        return worker

    def _dismiss(self, worker):
        self.selector.unregister(worker.answers)
        worker.end()

    def _listen(self):
        for key, _ in self.selector.select(timeout=1.0):
            worker = key.data
            answer = worker.answer()
            job = self.busy.pop(worker)
            if answer["error"]:
                self._dismiss(worker)
                raise FailedJob(f"{_name(job)}: {answer['error']}", answer["exit_code"])
            self.display.finished(job)
            if getattr(job, "alone", False):
                self._dismiss(worker)
            else:
                self.idle.append(worker)


class _Worker:
    """A `worker` process in its own process group, so that a terminal's signals reach it only through its parent."""

    def __init__(self, experiment, number, threads):
        self.number = number
        self.log = os.path.join(experiment.workdir, f"worker-{number}.log")
        command = [sys.executable, "-m", "keras_resnet.reproduce.worker", to_json(experiment), str(threads), self.log]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, process_group=0)
        self.asks, self.answers = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)

    def begin(self, job):
        self.asks.write(to_json(job) + "\n")
        self.asks.flush()

    def answer(self):
        line = self.answers.readline()
        return json.loads(line) if line else self._how_it_ended()

    def _how_it_ended(self):
        """Returns the error of a process that ended without an answer."""
        code = self.process.wait()
        if code >= 0:
            raise RuntimeError(f"a process that trains ended with {code}; {self.log} says why")
        error = (
            f"its process was killed by signal {-code}; if memory was short, --set=train.remat=true, "
            f"a smaller --set=train.batch_size or --processes=1 need less ({self.log})"
        )
        return {"error": error, "exit_code": 128 - code}

    def tell_to_end(self):
        """Asks the process to save its run and exit."""
        self.asks.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self):
        """Asks the process to exit, and waits for it."""
        self.tell_to_end()
        self.process.wait()


def _name(job):
    return f"{job.network} seed {job.seed}" if isinstance(job, Training) else job.function.rpartition(":")[2]
