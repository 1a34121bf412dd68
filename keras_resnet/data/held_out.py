"""Holds a part of the training images out, for the splits that a set of images lacks."""

from dataclasses import replace

import numpy as np

from keras_resnet.data.image_set import Split


def complete(splits: dict[str, Split], validation_fraction: float, test_fraction: float) -> dict[str, Split]:
    """Adds the missing splits; their images do not depend on the run's seed.

    | the set has | validation | test |
    |---|---|---|
    | train | a part of train | a part of train |
    | train, test | a part of train; for a fraction of 0, test | its own |
    | train, validation | its own | none |
    | all three | its own | its own |

    Args:
        splits: "train" and the other splits of the set.
        validation_fraction, test_fraction: shares of the training images, per class if labels are known.
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


def _strata(split):
    """Returns a number for each image (size,); of equal numbers, each part of the split has its share.

    It is the label. Of images with several labels, it is the one that the fewest images have.
    """
    if split.labels is not None:
        return split.labels
    if split.probabilities is None:
        return np.zeros(split.size, np.int32)
    positive = split.probabilities >= 0.5
    rarest = np.where(positive, positive.sum(0), split.size + 1).argmin(1)
    return np.where(positive.any(1), rarest, positive.shape[1])


def _hold_out(split, fractions):
    """Returns (the rest, {name: part of that fraction, if not empty}), drawn with NumPy's frozen `RandomState`.

    Each class gives its share, to within one image. Rounding is spread evenly over the classes, so the shares of all
    images are correct even if classes are small.
    """
    random = np.random.RandomState(0)
    labels = _strata(split)
    classes = random.permutation(np.unique(labels))
    place = np.empty(split.size)  # in [0, 1] within its class
    for i, label in enumerate(classes):
        members = random.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + (i + 0.5) / len(classes)) / len(members)
        if len(members) == 1:
            place[members] = 1.0  # the only image of a class is for training
    held, low = {}, 0.0
    for name, fraction in fractions.items():
        chosen = np.flatnonzero((low <= place) & (place < low + fraction))
        if len(chosen):
            held[name] = replace(split.subset(chosen), held_out=True)
        low += fraction
    return split.subset(np.flatnonzero(place >= low)), held
