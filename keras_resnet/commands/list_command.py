"""Shows every network of the family.

python -m keras_resnet list
"""

from rich.console import Console
from rich.table import Table

from keras_resnet.commands import entry
from keras_resnet.specs import SPECS


def main(positional):
    """Prints a row per network."""
    entry.no_arguments(positional)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("name", "layers", "block", "blocks per stage", "widths", "shortcut", "image", "classes"):
        table.add_column(
            heading, justify="right" if heading in ("layers", "image", "classes") else "left", no_wrap=True
        )
    for spec in SPECS.values():
        numbers = [", ".join(map(str, values)) for values in (spec.depths, spec.widths)]
        shortcut = spec.shortcut if spec.merge == "add" else "none"
        table.add_row(
            spec.name, str(spec.layers), spec.block, *numbers, shortcut, str(spec.image_size), str(spec.classes)
        )
    console = Console(width=None if sys_is_terminal() else 120)
    console.print(table)
    print("\nEach also as version 1 (the paper), 1.5 (stride on the 3x3) and 2 (pre-activation), shortcuts A, B, C:")
    print("  python -m keras_resnet summary resnet50 --version=1.5")


def sys_is_terminal() -> bool:
    """Whether the output goes to a person; elsewhere rows must not be folded."""
    import sys

    return sys.stdout.isatty()
