"""Exports a trained network: the same as `keras-resnet export`. See --help."""

import sys

from keras_resnet.commands.entry import run

if __name__ == "__main__":
    run("export", sys.argv[1:])
