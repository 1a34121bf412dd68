"""Functions that measure the cost and the signals of a `keras.Model`, and the analyses of the paper's findings."""
