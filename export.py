"""Exports a trained network: a SavedModel for TF Serving and a .tflite file for LiteRT.

    python export.py --workdir=runs/latest --output=exports/digits

Writes OUTPUT/<version>/ and OUTPUT/litert/<version>.tflite, and proves that both agree with the network.
"""

from absl import flags

from keras_resnet.commands import entry
from keras_resnet.commands.export import export

WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder, as train.py made it.")
OUTPUT = flags.DEFINE_string("output", None, "The folder that TF Serving is pointed at; versions lie inside.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best (by validation), last, or a step.")


def main(positional):
    """Exports what the flags say."""
    entry.no_arguments(positional)
    export(WORKDIR.value, OUTPUT.value, CHECKPOINT.value)


if __name__ == "__main__":
    entry.main(main, usage=__doc__)
