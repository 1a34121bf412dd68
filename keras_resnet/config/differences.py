"""Comparison of two configurations."""

# Keys that do not affect the weights of a run and may change when it resumes. They do not include `checkpoint_every`,
# because a rollback goes to a checkpoint, or `eval.batch_size`, which affects the rounding of the sums that select the
# best weights. `log_every` sets the number of steps in the check for an exploding loss, so it affects only runs whose
# loss explodes.
FREE = (
    "train.log_every",
    "train.keep_checkpoints",
    "train.wandb_project",
    "data.download",
    "data.max_skipped",
    "data.tf_data_service",
    "recovery.on_save_error",
    "export",
)


def first_difference(there: dict, here: dict, group: str = "") -> str | None:
    """Returns the first difference of two configurations outside of `FREE`: "train.seed is 0 there and 1 here".

    Keys that only one configuration has belong to another version of this package, and are ignored.
    """
    for name in there:
        key = f"{group}{name}"
        if name not in here or there[name] == here[name] or key in FREE:
            continue
        if isinstance(there[name], dict) and isinstance(here[name], dict):
            inner = first_difference(there[name], here[name], f"{key}.")
            if inner:
                return inner
        else:
            return f"{key} is {there[name]} there and {here[name]} here"
    return None
