"""How far a run is, beside its variables."""

from dataclasses import asdict, dataclass, field


@dataclass
class RunState:
    """Everything that changes in a run but its variables; a checkpoint holds both.

    Attributes:
        step: optimizer steps done.
        settled: the step up to which reports and evaluations are done. A run that was told to stop leaves those of
            its last step to the process that goes on.
        pending: sums of the steps that no report holds yet.
        first_loss: of the first step, by which an exploding one is known.
        validation: figures of the last evaluation.
        best: step, ranks and figures of the best evaluation.
        since_best: evaluations after it.
        skipped: "where it lies: what is wrong" for every image that was left out.
        seconds: of training, over all processes.
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
        """Whether an evaluation is the best so far by the figures in `monitor`; an equal one counts as better."""
        ranks = [figures[name] for name in monitor]
        if self.best and ranks > self.best["ranks"]:
            self.since_best += 1
            return False
        self.best = {"step": self.step, "ranks": ranks, "figures": figures}
        self.since_best = 0
        return True

    def to_json(self) -> dict:
        """Plain values, in which every float is exact."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "RunState":
        """What `to_json` returned; what another version of this package knows besides is left out."""
        return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})
