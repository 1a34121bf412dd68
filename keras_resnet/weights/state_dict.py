"""Finds the network among the tensors that a training script saves.

A script names a network's tensors by what wraps it ("state_dict.module.backbone.layer1.0.conv1.weight") and saves an
averaged copy, projection heads and queues with it. A prefix is whatever precedes a tensor that every network has, so no
list of prefixes is needed, and every file format gets the same answer.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Arrays = dict[str, np.ndarray]
Which = Literal["plain", "ema"]
WHICH: dict[str, str] = {"plain": "plain", "ema": "averaged"}  # value: its name in messages

# One tensor of every network, per naming.
_ANCHORS = (
    "layer1.0.conv1.weight",
    "stages.0.blocks.0.conv1.weight",
    "encoder.stages.0.layers.0.layer.0.convolution.weight",
    "stage1_block1_conv1/kernel",
    "conv2_block1_1_conv/kernel",
)
# torch.compile, FSDP and activation checkpointing also wrap single layers, so that their names are not only prefixes.
_WRAPPERS = re.compile(r"(?<![^./])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_OPTIMIZER = re.compile(r"(?:^|[./])optim(?:izer)?(?:_state)?s?(?:_dict)?[./]")  # which may name its moments by layers
_AVERAGED = re.compile(
    r"(?<![a-z])(ema|swa|teacher|momentum|target|averaged|average|avg|shadow|encoder_k)(?![a-z])", re.IGNORECASE
)
_CLASSIFIERS = ("fc", "linear", "classifier", "head")
_LOSSES = ("criterion", "loss", "loss_fn", "loss_func")
# What self-supervised training keeps at the network's own level.
_PROJECTIONS = ("queue", "projector", "projection", "projection_head", "proj_head", "predictor", "prototypes")
_CONTRASTED = ("encoder_q.", "encoder_k.")  # MoCo's, whose "fc" is a projection even where it is one layer
_MOST_NAMED = 5


def flatten(content: Any, is_tensor: Callable[[Any], bool]) -> dict[str, Any]:
    """Nested dictionaries -> {"outer.inner": tensor}; omits what a number names, such as an optimizer's state.

    Args:
        content: what a file holds.
        is_tensor: tells a tensor from anything else.

    Raises:
        ValueError: two tensors have the same name.
    """
    found: dict[str, Any] = {}
    waiting, seen = [("", content)], set()
    while waiting:
        prefix, item = waiting.pop()
        if not isinstance(item, dict) or id(item) in seen:  # a file may hold a dictionary twice, or in itself
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
    """Returns (one network's tensors without their prefix, lines that tell the user what was decided).

    Args:
        tensors: all tensors of a file, by name.
        source: named in messages.
        which: "plain" or "ema" where a file has both; None takes the plain ones and tells.

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
    return network, notes + ((_told(left_out, prefix),) if left_out else ())


def _without_wrappers(tensors, source):
    renamed = {_WRAPPERS.sub("", name): value for name, value in tensors.items()}
    if len(renamed) != len(tensors):
        raise ValueError(f"{source}: holds a network twice, compiled (_orig_mod) and not; save one of them")
    return renamed


def _prefixes(tensors):
    """What precedes the networks in `tensors`: "" where names have no prefix."""
    found = {name.removesuffix(anchor) for name in tensors for anchor in _ANCHORS if name.endswith(anchor)}
    return sorted(prefix for prefix in found if not prefix or prefix[-1] in "./")


def _choose(prefixes, source, which):
    """(the prefix of the weights that are asked for, what to tell)."""
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
    """The shortest beginning of a prefix that no other network shares."""
    ends = [found.end() for found in re.finditer("[./]", prefix)]
    beginnings = [prefix[:end] for end in ends if not any(other.startswith(prefix[:end]) for other in others)]
    return beginnings[0] if beginnings else prefix


def _network(inside, beside, prefix):
    """(the network's tensors without their prefix, names of those that are left out).

    A classifier outside of the prefix belongs to the network only where nothing but a loss is there with it: behind a
    neck it takes other features.
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
    """{"fc.weight": ..., "fc.bias": ...} of a head that is one dense layer; None of one that has several."""
    dense = [name for name, value in head.items() if name.endswith(".weight") and _is_dense(value)]
    if len(dense) != 1 or set(head) - {dense[0], dense[0].removesuffix("weight") + "bias"}:
        return None
    return {f"fc.{name.rpartition('.')[2]}": value for name, value in head.items()}


def _is_dense(value):
    return value.ndim == 2 or (value.ndim == 4 and value.shape[2:] == (1, 1))


def _part(name, prefix):
    """The part of a model that a tensor beside or behind a prefix belongs to: "head" of "state_dict.head.fc.weight"."""
    return re.split("[./]", name.removeprefix(_shared(name, prefix)), maxsplit=1)[0]


def _shared(name, prefix):
    """The beginning that a name shares with a prefix, in whole words."""
    ends = [0, *(found.end() for found in re.finditer("[./]", prefix))]
    return prefix[: max(end for end in ends if name.startswith(prefix[:end]))]


def _told(left_out, prefix):
    counts = Counter(f"{_shared(name, prefix)}{_part(name, prefix)}" for name in sorted(left_out))
    said = [f"{part} ({count} tensor{'s' * (count > 1)})" for part, count in counts.items()]
    more = f" and {len(said) - _MOST_NAMED} more" if len(said) > _MOST_NAMED else ""
    return f"left out as no layers of the network: {', '.join(said[:_MOST_NAMED])}{more}"
