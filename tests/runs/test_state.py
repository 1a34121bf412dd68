"""The choice of the best evaluation, and the round trip of a run state."""

import json

from keras_resnet.runs.checkpoints import RunState


def test_keep_best_by_error_then_loss():
    state = RunState()
    kept = []
    for step, (error, loss) in enumerate([(50, 1.0), (40, 0.9), (40, 0.95), (40, 0.9), (45, 0.1)], 1):
        state.step = step
        kept.append(state.keep_best({"error": error, "loss": loss}, ("error", "loss")))
    assert kept == [True, True, False, True, False]  # by error, then by loss; equal values count as better
    assert (state.best["step"], state.since_best) == (4, 1)


def test_run_state_json_round_trip_is_exact():
    state = RunState(step=3, pending={"loss": 0.1 + 0.2}, best={"step": 2}, skipped=["a: is empty"], seconds=1e-9)
    assert RunState.from_json(json.loads(json.dumps(state.to_json()))) == state
