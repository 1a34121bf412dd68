"""Infers the architecture of a network from the names and shapes of its tensors."""

import re

from keras_resnet.highway import LAST_WIDTH
from keras_resnet.specs import IN_WEIGHTS, SPECS, Spec, first_different_option, variant

Shapes = dict[str, tuple[int, ...]]


def recognize(shapes: Shapes, unseen: dict, source: str) -> Spec:
    """Infers a `Spec` from the shapes of a network's tensors under this package's names.

    Args:
        shapes: {variable's path: shape}, kernels (h, w, in, out).
        unseen: options that tensors do not show, with the values of the weights' source.
        source: name of the weights, for error messages.

    Raises:
        ValueError: the tensors do not belong to a network of this package.
    """
    parts = _blocks(shapes, source)
    depths = tuple(max(number for place, number in parts if place == stage) for stage in _stages(parts))
    for stage, number in ((stage, n) for stage, depth in enumerate(depths, 1) for n in range(1, depth + 1)):
        if (stage, number) not in parts:
            raise ValueError(f"{source}: stage {stage} has blocks up to {depths[stage - 1]}, but no {number}")
    first = parts[1, 1]
    block = "bottleneck" if "conv3" in first else "basic" if "conv2" in first else "single"
    axes = unseen | {
        "stem": _stem(shapes, source),
        "block": block,
        "depths": depths,
        "preactivation": "preact_bn" in first,
        "normalization": "batch" if "bn1" in first else "none",
        "skip": "gate" if "gate" in first else "add",
    }
    _check_highway(shapes, block == "single", len(depths), source)
    try:
        last = [parts[stage, 1] for stage in _stages(parts)]
        if block == "bottleneck":
            axes |= _bottleneck(last)
        else:
            axes["widths"] = tuple(each["conv1"][-1] for each in last)
        if "se_reduce" in last[-1]:
            axes["se_reduction"] = last[-1]["se_reduce"][2] // last[-1]["se_reduce"][3]
        axes |= _shortcut(parts)
        if block != "single" and any(f"stage1_block1_{c}/bias" in shapes for c in ("conv2", "conv3")):
            axes |= {"conv_bias": "unnormalized"} if axes["normalization"] == "batch" else {}
        return _named(Spec.of(name="resnet", **axes), unseen)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise ValueError(
            f"{source}: the tensors are of no network of this family ({error} is not as it should be)"
        ) from None


def _named(spec, unseen):
    """Returns `spec` as the entry of `SPECS` with the same tensors, if any.

    The entry also supplies the options that neither the tensors nor their source show.
    """
    varied = {"preactivation", "shortcut", "first_projection"}
    compared = ({*IN_WEIGHTS} - varied) | ({"avg_down"} & {*unseen})
    for row in SPECS.values():
        if first_different_option(row, spec, tuple(compared)) is None:
            return variant(row, **{name: spec.option(name) for name in varied | {*unseen}})
    return spec


def _check_highway(shapes, highway, stages, source):
    """Checks that the layers of highway.py are those of the literal Highway network, and of no other."""
    expected = {f"stage{i}_conv/kernel" for i in range(2, stages + 1)} | {"last_conv/kernel"} if highway else set()
    found = {path for path in shapes if re.fullmatch(r"(stage\d|last)_conv/kernel", path)}
    if missing := expected - found:
        raise ValueError(f"{source}: no tensor for {min(missing)} of the Highway network")
    unknown = found - expected
    if unknown or (highway and shapes["last_conv/kernel"][-1] != LAST_WIDTH):
        path = min(unknown, default="last_conv/kernel")
        raise ValueError(f"{source}: {path} of shape {shapes[path]} is of no network of this family")


def _blocks(shapes, source):
    """Returns {(stage, block): {part: shape of its kernel or scale}}."""
    parts: dict[tuple[int, int], dict] = {}
    for path, shape in shapes.items():
        found = re.fullmatch(r"stage([1-9])_block([1-9]\d{0,3})_(\w+)/(?:kernel|gamma)", path)
        if found:
            parts.setdefault((int(found[1]), int(found[2])), {})[found[3]] = shape
    if (1, 1) not in parts or "conv1" not in parts[1, 1]:
        raise ValueError(
            f"{source}: has no residual blocks that are known here; its first tensor is {min(shapes, default='none')}"
        )
    return parts


def _stages(parts):
    return sorted({stage for stage, _ in parts})


def _stem(shapes, source):
    if "stem_conv1/kernel" in shapes:
        return "deep"
    sides = {7: "imagenet", 3: "cifar"}
    kernel = shapes.get("stem_conv/kernel", (0,))
    if kernel[0] not in sides:
        raise ValueError(f"{source}: a first convolution of shape {kernel} is known to no network of this family")
    return sides[kernel[0]]


def _bottleneck(last):
    """Returns widths, groups and width per group, from the 3x3 and the last 1x1 convolution of each stage."""
    widths = tuple(each["conv3"][3] // 4 for each in last)
    inner, inputs = last[0]["conv2"][3], last[0]["conv2"][2]
    groups = inner // inputs
    return {"widths": widths, "groups": groups, "width_per_group": inner * 64 // (widths[0] * groups)}


def _shortcut(parts):
    """Infers the shortcut from the blocks with projections: none, those that change the shape, first blocks, or all."""
    projected = {place for place, names in parts.items() if "proj" in names}
    if not projected:
        changes = any(_width(parts[place]) != parts[place]["conv1"][2] for place in parts)
        return {"shortcut": "A"} if changes else {}
    if projected == set(parts):
        return {"shortcut": "C"}
    changes = parts[1, 1]["conv1"][2] != _width(parts[1, 1])
    return {"shortcut": "B", "first_projection": "changed" if changes or (1, 1) not in projected else "always"}


def _width(block):
    """Returns the number of output channels of a block."""
    return block[max(part for part in block if re.fullmatch(r"conv\d", part))][-1]
