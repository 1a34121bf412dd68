"""Finds the network among the tensors that a training script saves.

The name of a tensor contains the names of the objects around the network
("state_dict.module.backbone.layer1.0.conv1.weight"). A file may also contain an averaged copy, projection heads and
queues. A prefix is the part of a name before a tensor that every network has. This requires no list of prefixes, and it
gives the same result for every file format.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Arrays = dict[str, np.ndarray]
Which = Literal["plain", "ema"]
WHICH: dict[str, str] = {"plain": "plain", "ema": "averaged"}  # value: its name in messages

# A tensor that every network has, for each naming.
_ANCHORS = (
    "layer1.0.conv1.weight",
    "stages.0.blocks.0.conv1.weight",
    "encoder.stages.0.layers.0.layer.0.convolution.weight",
    "stage1_block1_conv1/kernel",
    "conv2_block1_1_conv/kernel",
)
# torch.compile, FSDP and activation checkpointing also wrap single layers, so these names also occur after a prefix.
_WRAPPERS = re.compile(r"(?<![^./])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_OPTIMIZER = re.compile(r"(?:^|[./])optim(?:izer)?(?:_state)?s?(?:_dict)?[./]")  # may name moments by layer
_AVERAGED = re.compile(
    r"(?<![a-z])(ema|swa|teacher|momentum|target|averaged|average|avg|shadow|encoder_k)(?![a-z])", re.IGNORECASE
)
_CLASSIFIERS = ("fc", "linear", "classifier", "head")
_LOSSES = ("criterion", "loss", "loss_fn", "loss_func")
# Modules that self-supervised training stores at the same level as the network's layers.
_PROJECTIONS = ("queue", "projector", "projection", "projection_head", "proj_head", "predictor", "prototypes")
_CONTRASTED = ("encoder_q.", "encoder_k.")  # MoCo's; their "fc" is a projection even if it is one layer
_MOST_NAMED = 5


def flatten(content: Any, is_tensor: Callable[[Any], bool]) -> dict[str, Any]:
    """Flattens nested dictionaries to {"outer.inner": tensor}; omits numeric keys, such as those of optimizer states.

    Args:
        content: content of a file.
        is_tensor: returns whether a value is a tensor.

    Raises:
        ValueError: two tensors have the same name.
    """
    found: dict[str, Any] = {}
    waiting, seen = [("", content)], set()
    while waiting:
        prefix, item = waiting.pop()
        if not isinstance(item, dict) or id(item) in seen:  # a dictionary may occur twice, or in itself
            continue
        seen.add(id(item))
        for key, value in item.items():
            name = f"{prefix}{key}"
            if not isinstance(key, str):
                continue
            if not is_tensor(value):
                waiting.append((f"{name}.", value))
            elif name in found:
                raise ValueError(f"names two tensors {name}")
            else:
                found[name] = value
    return found


def pick_network(tensors: Arrays, source: str, which: Which | None = None) -> tuple[Arrays, tuple[str, ...]]:
    """Returns (one network's tensors without their prefix, lines that report the choice to the user).

    Args:
        tensors: all tensors of a file, by name.
        source: name of the file, for error messages.
        which: "plain" or "ema" for a file with both; None selects the plain weights and reports it.

    Raises:
        ValueError: the file has no such network, or several.
    """
    tensors = {name: value for name, value in _without_wrappers(tensors, source).items() if not _OPTIMIZER.search(name)}
    prefixes = _prefixes(tensors)
    if not prefixes and which in (None, "plain"):
        return tensors, ()
    prefix, notes = _choose(prefixes, source, which)
    others = [other for other in prefixes if other != prefix]
    roots = tuple(_own_root(other, [each for each in prefixes if each != other]) for other in others)
    nested = tuple(other for other in others if other.startswith(prefix))
    layers = {name: value for name, value in tensors.items() if value.ndim}  # scalars count batches, epochs or averages
    inside = {name: value for name, value in layers.items() if name.startswith(prefix) and not name.startswith(nested)}
    beside = {
        name: value
        for name, value in layers.items()
        if not name.startswith((prefix, *roots)) and value.dtype.kind == "f"
    }
    network, left_out = _network(inside, beside, prefix)
    return network, notes + ((_assumed(left_out, prefix),) if left_out else ())


def _without_wrappers(tensors, source):
    renamed = {_WRAPPERS.sub("", name): value for name, value in tensors.items()}
    if len(renamed) != len(tensors):
        raise ValueError(f"{source}: holds a network twice, compiled (_orig_mod) and not; save one of them")
    return renamed


def _prefixes(tensors):
    """Returns the prefixes of the networks in `tensors`, "" for names without a prefix."""
    found = {name.removesuffix(anchor) for name in tensors for anchor in _ANCHORS if name.endswith(anchor)}
    return sorted(prefix for prefix in found if not prefix or prefix[-1] in "./")


def _choose(prefixes, source, which):
    """Returns (the prefix of the requested weights, lines to report)."""
    kinds: dict[str, list[str]] = {"plain": [], "ema": []}
    for prefix in prefixes:
        kinds["ema" if _AVERAGED.search(prefix) else "plain"].append(prefix)
    wanted, other = ("ema", "plain") if which == "ema" or not (which or kinds["plain"]) else ("plain", "ema")
    if not kinds[wanted]:
        raise ValueError(f"{source}: holds no {WHICH[wanted]} weights, only {WHICH[other]} ones")
    if len(kinds[wanted]) > 1:
        places = ", ".join(_place(prefix) for prefix in kinds[wanted][:_MOST_NAMED])
        raise ValueError(
            f"{source}: holds {len(kinds[wanted])} networks ({places}); save the one that you want by itself"
        )
    prefix = kinds[wanted][0]
    if which or not kinds[other]:
        return prefix, ()
    averaged = ", ".join(_place(each) for each in kinds[other][:_MOST_NAMED])
    return prefix, (
        f"the plain weights ({_place(prefix)}) are meant, not the averaged ones ({averaged}), "
        "which `convert-weights --which=ema` takes",
    )


def _place(prefix):
    return f"{prefix}*" if prefix else "without a prefix"


def _own_root(prefix, others):
    """Returns the shortest start of a prefix that no other network shares."""
    ends = [found.end() for found in re.finditer("[./]", prefix)]
    beginnings = [prefix[:end] for end in ends if not any(other.startswith(prefix[:end]) for other in others)]
    return beginnings[0] if beginnings else prefix


def _network(inside, beside, prefix):
    """Returns (the network's tensors without their prefix, names of the omitted tensors).

    A classifier outside the prefix belongs to the network only if no other module but a loss is outside: after a neck,
    it takes other features.
    """
    extra = {name: value for name, value in inside.items() if _part(name, prefix) in _PROJECTIONS}
    head = {name: value for name, value in inside.items() if _part(name, prefix) in _CLASSIFIERS}
    trunk = {name.removeprefix(prefix): value for name, value in inside.items() if name not in extra | head}
    if not head and all(_part(name, prefix) in _CLASSIFIERS + _LOSSES for name in beside):
        head = {name: value for name, value in beside.items() if _part(name, prefix) in _CLASSIFIERS}
        beside = {name: value for name, value in beside.items() if name not in head}
    classifier = None if prefix.endswith(_CONTRASTED) else _classifier(head)
    return trunk | (classifier or {}), [*beside, *extra, *(head if classifier is None else ())]


def _classifier(head):
    """Returns {"fc.weight": ..., "fc.bias": ...} for a head with one dense layer, None for other heads."""
    dense = [name for name, value in head.items() if name.endswith(".weight") and _is_dense(value)]
    if len(dense) != 1 or set(head) - {dense[0], dense[0].removesuffix("weight") + "bias"}:
        return None
    return {f"fc.{name.rpartition('.')[2]}": value for name, value in head.items()}


def _is_dense(value):
    return value.ndim == 2 or (value.ndim == 4 and value.shape[2:] == (1, 1))


def _part(name, prefix):
    """Returns the part of a model that a tensor belongs to: "head" for "state_dict.head.fc.weight"."""
    return re.split("[./]", name.removeprefix(_shared(name, prefix)), maxsplit=1)[0]


def _shared(name, prefix):
    """Returns the start that a name shares with a prefix, in whole words."""
    ends = [0, *(found.end() for found in re.finditer("[./]", prefix))]
    return prefix[: max(end for end in ends if name.startswith(prefix[:end]))]


def _assumed(left_out, prefix):
    counts = Counter(f"{_shared(name, prefix)}{_part(name, prefix)}" for name in sorted(left_out))
    said = [f"{part} ({count} tensor{'s' * (count > 1)})" for part, count in counts.items()]
    more = f" and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
    return f"ignored, not layers of the network: {', '.join(said[:_MOST_NAMED])}{more}"
