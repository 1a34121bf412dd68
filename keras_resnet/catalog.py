"""What there is by name: networks and published weights."""

import fnmatch
import re

from keras_resnet.specs import SPECS
from keras_resnet.weights.published import entries


def list_models(pattern: str = "*", weights: bool = False) -> list[str]:
    """Names of networks for `create_model`, "resnet18" before "resnet101".

    Args:
        pattern: shell-style, such as "*50*".
        weights: only networks with published weights.
    """
    published = {entry.network for entry in entries().values()}
    names = [name for name in SPECS if name in published or not weights]
    return sorted(fnmatch.filter(names, pattern), key=_natural)


def list_weights(pattern: str = "*") -> list[str]:
    """Names of published weights for `create_model` and `weights=`.

    Args:
        pattern: shell-style, such as "timm/resnet50.*".
    """
    return sorted(fnmatch.filter(entries(), pattern), key=_natural)


def _natural(name):
    """Numbers in a name count as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
