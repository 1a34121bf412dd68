"""python -m keras_resnet COMMAND: everything beside training and exporting."""

import importlib
import sys

from keras_resnet import __version__
from keras_resnet.commands import entry
from keras_resnet.errors import ConfigError, suggest

COMMANDS = {
    "list": "Show every network of the family.",
    "summary": "Show one network as the paper's table 1 does.",
    "evaluate": "Measure a run's error on a split of its images.",
    "analyze": "Reproduce the paper's findings: degradation, gradients, responses, highway and others.",
    "results": "Tabulate the runs of a folder.",
    "predict": "Name what is in images, with a run, weights, or an export of any kind.",
    "benchmark": "Time networks side by side, whatever they are kept as, and compare what they say.",
    "convert-weights": "Turn weights of any source into this package's, torchvision's or timm's file.",
    "publish": "Write a folder for the Hugging Face Hub: weights, configuration, model card.",
    "examples": "Write images of a data set as PNG files.",
    "verify-data": "Look at every image of a data set before a long run, and list what is wrong.",
    "prepare-data": "Turn a folder of pictures into TFRecord files.",
    "schema": "Print the JSON schema of configuration files, for editors.",
}

USAGE = "python -m keras_resnet COMMAND [ARGUMENTS] [--help]\n\n" + "\n".join(
    f"  {name:<15} {text}" for name, text in COMMANDS.items()
)


def main() -> None:
    """Runs the command named first."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "--version":
        print(f"keras_resnet {__version__}")
        return
    if name in ("--help", "-h"):
        print(USAGE)
        return
    if name not in COMMANDS:

        def unknown(_):
            raise ConfigError(f'unknown command "{name}"; {suggest(name, COMMANDS)}')

        entry.main(unknown, [sys.argv[0]])
    with entry.exits():
        module = importlib.import_module(f"keras_resnet.commands.{name.replace('-', '_')}_command")
    entry.main(module.main, [f"{sys.argv[0]} {name}", *sys.argv[2:]], usage=module.__doc__ or "")


if __name__ == "__main__":
    main()
