"""The choice of the best evaluation, and the round trip of a run state."""

import json

from keras_resnet.classification.metrics import METRICS
from keras_resnet.runs.checkpoints import RunState
from keras_resnet.task import Metric


def test_keep_best_by_error_then_loss():
    state = RunState()
    kept = []
    for step, (error, loss) in enumerate([(50, 1.0), (40, 0.9), (40, 0.95), (40, 0.9), (45, 0.1)], 1):
        state.step = step
        kept.append(state.keep_best({"error": error, "loss": loss}, METRICS))
    assert kept == [True, True, False, True, False]  # by error, then by loss; equal values count as better
    assert (state.best["step"], state.since_best) == (4, 1)


def test_keep_best_by_a_metric_of_which_more_is_better():
    """A value that could not be computed, such as the AP of a split without objects, is worse than any."""
    state, metrics = RunState(), {"ap": Metric(better="higher", precedence=1), "loss": Metric(precedence=2)}
    evaluations = [{"loss": 1.0}, {"ap": 0.2, "loss": 9.0}, {"ap": 0.1, "loss": 1.0}, {"loss": 0.1}, {"ap": 0.3}]
    assert [state.keep_best(each, metrics) for each in evaluations] == [True, True, False, False, True]
    assert state.best["figures"] == {"ap": 0.3}


def test_run_state_json_round_trip_is_exact():
    state = RunState(step=3, pending={"loss": 0.1 + 0.2}, best={"step": 2}, skipped=["a: is empty"], seconds=1e-9)
    assert RunState.from_json(json.loads(json.dumps(state.to_json()))) == state
