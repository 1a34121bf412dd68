"""Displays the progress of an experiment: a bar in a terminal, plain lines elsewhere."""

import time

from rich.console import Console

from keras_resnet.console import ProgressBar, time_left
from keras_resnet.reproduce.experiment import Experiment, Job, Training, cost
from keras_resnet.runs.logs import read_metrics

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
            f"{self._wanted} runs and measurements, {self._done} there already; workdir {self._study.workdir}",
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
