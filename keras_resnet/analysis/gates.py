"""What the gates of a highway net do with images."""

import keras
import numpy as np

CLOSED, OPEN = 0.1, 0.9
PERCENTILES = (5, 25, 50, 75, 95)


def gates(model: keras.Model, images: np.ndarray) -> list[dict]:
    """images (N, H, W, C) in [0, 255] -> a row per block of a highway net (Srivastava et al. 2015), in its order.

    A gate is a number in (0, 1) for every position and channel: 0 carries the block's input on, 1 replaces it by F.

    Args:
        model: a net with gates, such as `CIFARHighwayNet(20)`, with any weights.
        images: as the model takes them; a few hundred are enough.

    Returns:
        [{"block": "stage1_block1", "mean", "p5" ... "p95", "closed": share of gates below 0.1, "open": share above 0.9,
        "over_images": deviation of a gate over the images (root mean square over gates), "over_gates": deviation of the
        gates' means}]. A block that does the same with every image has "over_images" 0.

    Raises:
        ValueError: the model has no gates.
    """
    layers = [layer for layer in model.layers if layer.name.endswith("_gate")]
    if not layers:
        raise ValueError(f"{model.name}: has no gates; expected a highway net, such as CIFARHighwayNet(20)")
    probe = keras.Model(model.input, {layer.name.removesuffix("_gate"): layer.output for layer in layers})
    values = probe(images, training=False)
    return [_row(block, keras.ops.convert_to_numpy(values[block])) for block in probe.output]


def _row(block, gate):
    gate = gate.astype(np.float64)
    row = {"block": block, "mean": float(gate.mean())}
    row |= {f"p{p}": float(value) for p, value in zip(PERCENTILES, np.percentile(gate, PERCENTILES), strict=True)}
    return row | {
        "closed": float((gate < CLOSED).mean()),
        "open": float((gate > OPEN).mean()),
        "over_images": float(np.sqrt(gate.var(0).mean())),
        "over_gates": float(gate.mean(0).std()),
    }
