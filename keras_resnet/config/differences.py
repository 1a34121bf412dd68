"""Where two configurations differ."""

# Keys that change no weight of a run: they may change when it is resumed. `checkpoint_every` is none of them, since a
# rollback goes to a checkpoint, nor is `eval.batch_size`, by which the sums that choose the best weights are rounded.
# `log_every` decides over how many steps a loss counts as exploded, which matters only to a run that explodes.
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
    """The first key outside of `FREE` in which two configurations differ, "train.seed is 0 there and 1 here".

    Keys that only one of them knows are those of another version of this package, and are left out.
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
