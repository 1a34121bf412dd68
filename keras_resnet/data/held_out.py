"""Validation and test images for sets that come without."""

import numpy as np

from keras_resnet.data.image_set import Split


def complete(splits: dict[str, Split], validation_fraction: float, test_fraction: float) -> dict[str, Split]:
    """Adds the splits that are missing, always the same images whatever the run's seed.

    | the set has | validation | test |
    |---|---|---|
    | train | a part of train | a part of train |
    | train, test | a part of train; for a fraction of 0, test | its own |
    | train, validation | its own | none |
    | all three | its own | its own |

    Args:
        splits: "train" and whatever the set has beside it.
        validation_fraction, test_fraction: shares of the training images, of every class where labels are known.
    """
    if "validation" in splits:
        return splits
    fractions = {} if "test" in splits else {"test": test_fraction}
    train, held = _hold_out(splits["train"], fractions | {"validation": validation_fraction})
    splits = {"train": train} | held | {name: split for name, split in splits.items() if name == "test"}
    fallback = splits.get("test", train)
    return {"train": train, "validation": splits.get("validation", fallback)} | (
        {"test": splits["test"]} if "test" in splits else {}
    )


def _hold_out(split, fractions):
    """(the rest, {name: part of that fraction, unless it is empty}); drawn with NumPy's frozen stream."""
    random = np.random.RandomState(0)
    labels = split.labels if split.labels is not None else np.zeros(split.size, np.int32)
    groups = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in fractions}
    rest = []
    for group in groups:
        for name, fraction in fractions.items():
            count = round(len(group) * fraction)
            parts[name].append(group[:count])
            group = group[count:]
        rest.append(group)
    held = {name: split.subset(np.sort(np.concatenate(part))) for name, part in parts.items() if sum(map(len, part))}
    return split.subset(np.sort(np.concatenate(rest))), held
