"""Measures the gates of a highway network on images."""

import keras
import numpy as np

from keras_resnet.analysis.intermediate_outputs import doubles, table

CLOSED, OPEN = 0.1, 0.9
PERCENTILES = (5, 25, 50, 75, 95)


def highway_gates(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """images (N, H, W, C) in [0, 255] -> structured array, one row per block of a highway network.

    A gate is a number in (0, 1) per position and channel: 0 passes the block's input through, and 1 replaces it with F
    (Srivastava et al. 2015).

    Args:
        model: a network with gates, such as `CIFARHighwayNet(20)`, with any weights.
        images: model inputs; a few hundred are enough.

    Returns:
        Fields "block" ("stage1_block1"), "mean", percentiles "p5", "p25", "p50", "p75", "p95", "closed" (share of gates
        below 0.1), "open" (share above 0.9), "over_images" (standard deviation of a gate over the images, root mean
        square over gates; 0 if a block treats all images alike), "over_gates" (standard deviation of the gates' means
        over the images). Rows are in the network's order.

    Raises:
        ValueError: the model has no gates.
    """
    layers = [layer for layer in model.layers if layer.name.endswith("_gate")]
    if not layers:
        raise ValueError(f"{model.name}: has no gates; expected a highway network, such as CIFARHighwayNet(20)")
    probe = keras.Model(model.input, {layer.name.removesuffix("_gate"): layer.output for layer in layers})
    values = probe(images, training=False)
    rows = [_row(block, doubles(values[block])) for block in probe.output]
    return table(**{name: [row[name] for row in rows] for name in rows[0]})


def _row(block, gate):
    percentiles = zip(PERCENTILES, np.percentile(gate, PERCENTILES), strict=True)
    return {
        "block": block,
        "mean": gate.mean(),
        **{f"p{p}": value for p, value in percentiles},
        "closed": (gate < CLOSED).mean(),
        "open": (gate > OPEN).mean(),
        "over_images": np.sqrt(gate.var(0).mean()),
        "over_gates": gate.mean(0).std(),
    }
