"""Plots images with their heat maps and bars of their scores, or with their objects' boxes, in one PNG file."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_resnet.data.run_lengths import decode
from keras_resnet.files import write_atomically
from keras_resnet.inference.answers import Prediction
from keras_resnet.inference.writers import printable

MAX_SHOWN = 20  # images in a plot
LONGEST = 26  # characters of a label or title
_HEAT = ListedColormap(["#D55E00"])  # one color, more opaque where the map is higher


@dataclass(frozen=True)
class Shown:
    """One image: pixels (H, W, C) in [0, 255], its title, the prediction, and a heat map (h, w) or None."""

    pixels: np.ndarray
    title: str
    prediction: Prediction
    heat_map: np.ndarray | None = None


def draw(path: str, images: list[Shown]) -> None:
    """Writes a PNG file, completely or not at all, with five images per row and at most `MAX_SHOWN`.

    Raises:
        OSError: the file cannot be written.
    """
    images = images[:MAX_SHOWN]
    columns = min(5, len(images))
    rows = -(-len(images) // columns)
    bars = 1.4 if any(shown.prediction.boxes is None for shown in images) else 0.01
    figure = Figure(figsize=(2.4 * columns, (2.3 + 0.85 * bars) * rows), layout="constrained")
    cells = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[3, bars] * rows)
    for cell in cells.ravel():
        cell.axis("off")
    for i, shown in enumerate(images):
        _draw_image(cells[2 * (i // columns)][i % columns], shown)
        if shown.prediction.boxes is None:
            _draw_bars(cells[2 * (i // columns) + 1][i % columns], shown.prediction)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    write_atomically(path, content.getvalue())


def show_pixels(cell, pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Draws an image (H, W, C) in [0, 255] into axes, one unit per pixel; returns its left, right, bottom and top."""
    gray = pixels.shape[-1] != 3
    shown = np.clip(pixels[..., 0] if gray else pixels, 0, 255).astype(np.uint8)
    place = (0, shown.shape[1], shown.shape[0], 0)
    cell.imshow(shown, cmap="gray" if gray else None, vmin=0, vmax=255, extent=place)
    return place


def draw_boxes(cell, boxes, texts: Sequence[str], colors: Sequence[str], fontsize: float = 5) -> None:
    """Draws boxes (R, 4), y1 x1 y2 x2 in pixels, into the axes of `show_pixels`, with a text above the corner of each.

    At the top of the image, the text is inside of the box.
    """
    top = 0.045 * max(*cell.get_xlim(), *cell.get_ylim())  # about the height of a text
    for (y1, x1, y2, x2), text, color in zip(boxes, texts, colors, strict=True):
        cell.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1))
        style = {"fontsize": fontsize, "color": "white", "parse_math": False, "clip_on": True}
        cell.text(x1, y1, shortened(text), va="bottom" if y1 > top else "top", **style).set_bbox(
            {"facecolor": color, "edgecolor": "none", "pad": 0.5}
        )


def draw_mask(cell, mask: np.ndarray, color: str) -> None:
    """Draws a mask (H, W) bool into the axes of `show_pixels`, half transparent."""
    height, width = mask.shape
    shown = np.zeros((height, width, 4), np.float32)
    shown[mask] = (*to_rgb(color), 0.5)
    cell.imshow(shown, extent=(0, width, height, 0), interpolation="nearest")


def _draw_image(cell, shown):
    place = show_pixels(cell, shown.pixels)
    numbers, texts, boxes = _objects(shown.prediction)
    colors: dict[int, str] = {}
    for number in numbers:
        colors.setdefault(number, f"C{len(colors) % 10}")
    for mask, number in zip(shown.prediction.masks or (), numbers, strict=False):
        draw_mask(cell, decode(mask["counts"].encode(), mask["size"]), colors[number])
    draw_boxes(cell, boxes, texts, [colors[number] for number in numbers])
    if shown.heat_map is not None:
        heat = shown.heat_map / max(float(shown.heat_map.max()), 1e-12)
        smooth = {"extent": place, "interpolation": "bilinear"}
        cell.imshow(heat, cmap=_HEAT, alpha=0.7 * heat, vmin=0, vmax=1, **smooth)
    cell.set_title(shortened(shown.title), fontsize=8, parse_math=False)


def _objects(prediction):
    """Returns classes, texts and boxes of a prediction's objects; of classes alone, none."""
    if prediction.boxes is None:
        return (), (), ()
    texts = [f"{label} {score:.2f}" for label, score in zip(prediction.labels, prediction.scores, strict=True)]
    return prediction.classes, texts, prediction.boxes


def _draw_bars(cell, prediction):
    labels = [shortened(label) for label in prediction.labels]
    cell.axis("on")
    cell.barh(range(len(labels)), prediction.scores, color=["#0072B2"] + ["#BBBBBB"] * (len(labels) - 1))
    cell.set_yticks(range(len(labels)), labels, fontsize=8, parse_math=False)
    cell.set_xticks([0, 1], ["0", "1"], fontsize=7)
    cell.set_xlim(0, 1)
    cell.set_xlabel("score", fontsize=7, labelpad=-6)
    cell.invert_yaxis()
    cell.spines[["top", "right"]].set_visible(False)


def shortened(text: str) -> str:
    """Returns a label or title that fits into the plot."""
    text = printable(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
