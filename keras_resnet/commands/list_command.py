"""Shows every network of the family: its shape, and what one image costs.

python -m keras_resnet list
"""

from rich.console import Console
from rich.table import Table

from keras_resnet.analysis import complexity_of_rows
from keras_resnet.commands import entry
from keras_resnet.specs import SPECS

COLUMNS = ("name", "layers", "block", "blocks per stage", "shortcut", "version", "image", "parameters", "multiply-adds")
NUMBERS = ("layers", "image", "parameters", "multiply-adds")
# He et al. 2015, section 3.3, for comparison; parameters as in keras.applications
VGG = (("vgg16", 16, 138_357_544, 15.3e9), ("vgg19", 19, 143_667_240, 19.6e9))


def main(positional):
    """Prints a row per network."""
    entry.no_arguments(positional)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in COLUMNS:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left", no_wrap=True)
    costs = complexity_of_rows.read()
    for spec in SPECS.values():
        cost = costs[spec.name]
        table.add_row(
            spec.name,
            str(spec.layers),
            spec.block,
            ", ".join(map(str, spec.depths)),
            "none" if spec.merge == "plain" else spec.shortcut,
            spec.version,
            str(spec.image_size),
            f"{cost['parameters']:,}",
            f"{cost['multiply_adds'] / 1e9:.3f}e9",
        )
    for name, layers, parameters, multiply_adds in VGG:
        cells = (
            name,
            str(layers),
            "",
            "(for comparison)",
            "",
            "",
            "224",
            f"{parameters:,}",
            f"{multiply_adds / 1e9}e9",
        )
        table.add_row(*cells, style="dim")
    Console(width=max(140, Console().width)).print(table)  # names are for copying: never cut, whatever the terminal
    print("\nEach also as version 1 (the paper), 1.5 (stride on the 3x3) and 2 (pre-activation), shortcuts A, B, C:")
    print("  python -m keras_resnet summary resnet50 --version=1.5")
