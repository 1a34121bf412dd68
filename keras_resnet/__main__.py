"""Runs `python -m keras_resnet COMMAND`, which is the same as `keras-resnet COMMAND`."""

from keras_resnet.commands.entry import main

if __name__ == "__main__":
    main()
