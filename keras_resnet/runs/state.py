"""The state of a run, except its variables."""

from dataclasses import asdict, dataclass, field


@dataclass
class RunState:
    """The changing state of a run, except its variables; a checkpoint holds both.

    Attributes:
        step: number of optimizer steps done.
        settled: the step up to which logging and evaluation are done. A stopped run leaves those of its last step to
            the process that resumes it.
        pending: sums of the steps that are not logged yet.
        first_loss: the loss of the first step, the reference for an exploding loss.
        validation: metrics of the last evaluation.
        best: step, ranks and metrics of the best evaluation.
        since_best: number of evaluations after the best one.
        skipped: "location: problem" for every skipped image.
        seconds: seconds of training, over all processes.
    """

    step: int = 0
    settled: int = 0
    pending: dict[str, float] = field(default_factory=dict)
    first_loss: float | None = None
    validation: dict[str, float] = field(default_factory=dict)
    best: dict = field(default_factory=dict)
    since_best: int = 0
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def keep_best(self, figures: dict[str, float], monitor: tuple[str, ...]) -> bool:
        """Keeps an evaluation that is no worse than the best by the metrics in `monitor`; returns whether it was."""
        ranks = [figures[name] for name in monitor]
        if self.best and ranks > self.best["ranks"]:
            self.since_best += 1
            return False
        self.best = {"step": self.step, "ranks": ranks, "figures": figures}
        self.since_best = 0
        return True

    def to_json(self) -> dict:
        """Returns plain values that keep every float exactly."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "RunState":
        """Returns the state from the output of `to_json`; ignores unknown fields of other versions."""
        return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})
