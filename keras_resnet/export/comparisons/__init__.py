"""Compares an artifact's outputs with the network's; a module for each kind of outputs.

Each is loaded by the process that verifies artifacts, and imports nothing of this package. Its contents:

    IMAGES, NOISE           how many real images to compare on, at most, and how many of random pixels besides
    compared(actual, expected, real)
                            outputs {name: (N, ...)} of an artifact and of the network -> {name of a measure: value};
                            the first `real` images are real
    tolerance(artifact, exact, least)
                            {"format", "precision", ...} -> {name of a measure: limit}; `exact` is the limit of the
                            format's float32 artifacts, `least` the user's limit for artifacts of fewer digits
    holds(parity, tolerance), outside(parity, tolerance)
                            whether the measures are within the limits, and otherwise what is wrong, in a few words
    cells(parity)           {heading: text} of the measures in the printed table
"""
