"""Trains a network: the same as `keras-resnet train`. See --help."""

import sys

from keras_resnet.commands.entry import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
