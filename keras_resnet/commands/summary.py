"""Shows one network as the paper's table 1 does: its stages, their output sizes, and the cost per image.

keras-resnet summary resnet50
keras-resnet summary cifar_resnet56 --shortcut=B --image_size=32
"""

from absl import flags

from keras_resnet.commands.weights_flags import define_image_size, image_size_of
from keras_resnet.description import ImageSize, height_and_width, size_text
from keras_resnet.errors import ConfigError, suggest
from keras_resnet.specs import SPECS, VERSIONS, variant


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "version", None, "1 (the paper), 1.5 (stride on the 3x3) or 2 (pre-activation).", flag_values=options
    )
    flags.DEFINE_string("shortcut", None, "A, B or C (He et al. 2015, section 4.1).", flag_values=options)
    define_image_size(options, "Height and width in pixels, such as 224 or 128x256; default the paper's.")
    flags.DEFINE_integer(
        "classes", None, "Size of the logits; default the paper's.", lower_bound=1, flag_values=options
    )


def main(options, arguments):
    """Prints the table of one network."""
    if len(arguments) != 1:
        raise ConfigError("expected one network, for example: keras-resnet summary resnet50")
    (name,) = arguments
    if name not in SPECS:
        raise ConfigError(f'unknown network "{name}"; {suggest(name, SPECS)}')
    if options.version not in (None, *VERSIONS):
        raise ConfigError(f'--version: got "{options.version}"; {suggest(options.version, VERSIONS)}')
    if options.shortcut not in (None, "A", "B", "C"):
        raise ConfigError(f'--shortcut: got "{options.shortcut}"; {suggest(options.shortcut, "ABC")}')
    try:
        spec = variant(SPECS[name], version=options.version, shortcut=options.shortcut)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    print_summary(spec, image_size_of(options, least=8) or spec.image_size, options.classes or spec.classes)


def print_summary(spec, image_size: ImageSize, classes: int) -> None:
    """Prints the stages of a network and its complexity."""
    from keras_resnet.analysis.complexity import complexity
    from keras_resnet.builder import build

    model = build(spec, classes=classes, input_shape=(*height_and_width(image_size), 3))
    cost = complexity(model)
    shortcut = "no shortcuts" if spec.skip == "none" else f"shortcut {spec.shortcut}"
    print(f"{spec.name}: {spec.layers} layers, version {spec.version}, {shortcut}\n")
    for title, layer, content in _rows(spec, classes):
        shape = model.get_layer(layer).output.shape[1:]
        size = "x".join(map(str, shape[:2])) if len(shape) == 3 else "1x1"
        print(f"  {title:<8}  {size:>9}  {content}")
    print(f"\n  {cost.parameters:,} parameters")
    print(f"  {cost.macs:,} MACs for an image of {size_text(height_and_width(image_size))}")
    print(f"  {cost.activations:,} activations")


def _rows(spec, classes):
    """Yields (title, layer with the stage's output, content) from stem to head, in the terms of the paper's table 1."""
    from keras_resnet.blocks import plan
    from keras_resnet.highway import LAST_WIDTH

    width = spec.widths[0]
    if spec.stem == "cifar":
        yield "stem", "stem_conv", f"3x3, {width}"
    else:
        deep = f"3x3, {width // 2}, stride 2 | 3x3, {width // 2} | 3x3, {width}"
        yield "stem", *(("stem_conv3", deep) if spec.stem == "deep" else ("stem_conv", f"7x7, {width}, stride 2"))
        yield "", "stem_pool", "3x3 max pool, stride 2"
    end = {"add": "add", "gate": "carry", "none": f"conv{len(plan(spec, 1, 1))}"}[spec.skip]
    for i, (width, depth) in enumerate(zip(spec.widths, spec.depths, strict=True), 1):
        if i > 1 and spec.block == "single":
            yield f"stage{i}", f"stage{i}_conv", f"2x2 max pool, 3x3, {width}"
        convs = " | ".join(_conv_text(*conv) for conv in plan(spec, width, 1))
        gated = " gated" if spec.skip == "gate" else ""
        yield f"stage{i}", f"stage{i}_block{depth}_{end}", f"[{convs}]{gated} x {depth}"
    if spec.block == "single":
        yield "", "last_conv", f"1x1, {LAST_WIDTH}"
    yield "head", "logits", f"average pool, {classes}-d dense, softmax"


def _conv_text(kernel, filters, _stride, groups):
    return f"{kernel}x{kernel}, {filters}" + (f", {groups} groups" if groups > 1 else "")
