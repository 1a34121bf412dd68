"""Lists the networks with their size and cost, pretrained weights, or recipes.

keras-resnet list
keras-resnet list --weights
keras-resnet list --recipes
"""

from absl import flags
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from keras_resnet.analysis.complexity import read_complexities
from keras_resnet.commands import entry
from keras_resnet.config.recipes import recipe_names
from keras_resnet.description import size_text
from keras_resnet.specs import SPECS
from keras_resnet.weights.published import entries

COLUMNS = ("name", "layers", "block", "blocks per stage", "shortcut", "version", "image", "parameters", "MACs")
NUMBERS = ("layers", "image", "parameters", "MACs")
# For comparison: He et al. 2015, section 3.3; parameters as in keras.applications
VGG = (("vgg16", 16, 138_357_544, 15.3e9), ("vgg19", 19, 143_667_240, 19.6e9))


_NUMBERS_OF_WEIGHTS = ("parameters", "top-1", "top-5", "box AP", "mask AP", "pixels")
WEIGHTS_COLUMNS = ("name", "network", *_NUMBERS_OF_WEIGHTS, "license", "checksum", "recipe")


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_boolean("weights", False, "List pretrained weights.", flag_values=options)
    flags.DEFINE_boolean("recipes", False, "List recipes for `keras-resnet train --config`.", flag_values=options)


def main(options, arguments):
    """Prints a row per network, weights file or recipe."""
    entry.no_arguments(arguments)
    if options.weights:
        _list_weights()
    elif options.recipes:
        print("\n".join(recipe_names()))
    else:
        _list_networks()


def _list_weights():
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in WEIGHTS_COLUMNS:
        numeric = heading in _NUMBERS_OF_WEIGHTS
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for each in entries().values():
        accuracies = ("" if value is None else f"{value:.2f}" for value in (each.top1, each.top5))
        aps = ("" if value is None else f"{value:.1f}" for value in (each.box_ap, each.mask_ap))
        size = each.preprocessing and each.preprocessing.image_size
        pixels = size_text(size) if size else ""
        checksum = each.checksum[:8] or "the Hub's"
        cells = (each.network, f"{each.parameters:,}", *accuracies, *aps, pixels, each.license, checksum, each.recipe)
        table.add_row(each.name, *cells)
    _print(table)
    print("\nAccuracy in percent on ImageNet's validation images and AP on COCO's, as published. For example:")
    print('  keras_resnet.ResNet50(weights="torchvision/resnet50.IMAGENET1K_V2")')


def _print(table):
    console = Console(width=10**6)  # users copy names, so they are never truncated
    console.width = Measurement.get(console, console.options, table).maximum
    console.print(table)


def _list_networks():
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in COLUMNS:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left", no_wrap=True)
    costs = read_complexities()
    for spec in SPECS.values():
        cost = costs[spec.name]
        table.add_row(
            spec.name,
            str(spec.layers),
            spec.block,
            ", ".join(map(str, spec.depths)),
            "none" if spec.skip == "none" else spec.shortcut,
            spec.version,
            str(spec.image_size),
            f"{cost['parameters']:,}",
            f"{cost['macs'] / 1e9:.3f}e9",
        )
    for name, layers, parameters, macs in VGG:
        cells = (
            name,
            str(layers),
            "",
            "(for comparison)",
            "",
            "",
            "224",
            f"{parameters:,}",
            f"{macs / 1e9}e9",
        )
        table.add_row(*cells, style="dim")
    _print(table)
    print("\nEach also as version 1 (the paper), 1.5 (stride on the 3x3) and 2 (pre-activation), shortcuts A, B, C:")
    print("  keras-resnet summary resnet50 --version=1.5")
