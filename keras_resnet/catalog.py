"""Lists the names of networks and published weights."""

import fnmatch
import re

from keras_resnet.specs import SPECS
from keras_resnet.weights.published import entries


def list_models(pattern: str = "*", weights: bool = False) -> list[str]:
    """Returns the names of networks for `create_model`, in natural order: "resnet18" before "resnet101".

    Args:
        pattern: shell-style pattern, such as "*50*".
        weights: return only networks with published weights.
    """
    published = {entry.network for entry in entries().values()}
    names = [name for name in SPECS if name in published or not weights]
    return sorted(fnmatch.filter(names, pattern), key=_natural)


def list_weights(pattern: str = "*") -> list[str]:
    """Returns the names of published weights for `create_model` and for the argument `weights`.

    Args:
        pattern: shell-style pattern, such as "timm/resnet50.*".
    """
    return sorted(fnmatch.filter(entries(), pattern), key=_natural)


def _natural(name):
    """Returns a sort key that compares numbers in a name as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
