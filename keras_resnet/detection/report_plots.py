"""Draws the precision-recall curves and the worst images of a detector's report."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_resnet.data.decode import decode
from keras_resnet.data.run_lengths import decode as decode_mask
from keras_resnet.detection.collector import RECALLS, ClassResult
from keras_resnet.detection.mistakes import IOU, LEFT_OUT, Matches
from keras_resnet.inference.plot import draw_boxes, draw_mask, shortened, show_pixels

COLORED_CLASSES = 20  # maximum number of classes whose curves have colors of their own
_RIGHT, _WRONG, _IGNORED = "#0072B2", "#D55E00", "#808080"


def draw_curves(path: str, classes: Sequence[tuple[str, ClassResult]]) -> str:
    """Draws the precision of each named class over the recall, and their mean, into a PNG file; returns its path."""
    curves = [(label, each.precisions) for label, each in classes if each.precisions is not None]
    named = len(curves) <= COLORED_CLASSES
    figure = Figure(figsize=(7.5 if named else 5.8, 4.8), layout="constrained")
    axes = figure.subplots()
    for i, (label, precisions) in enumerate(curves):
        line = axes.plot(RECALLS, precisions, color="#BBBBBB", linewidth=0.6)[0]
        if named:
            line.set(color=f"C{i % 10}", linestyle=("-", "--")[i // 10], linewidth=1.1, label=shortened(label))
        elif i == 0:
            line.set_label(f"{len(curves):,} classes")
    if curves:
        mean = np.mean([precisions for _, precisions in curves], 0)
        axes.plot(RECALLS, mean, color="black", linewidth=2.2, label="mean of the classes")
        place = {"loc": "outside right upper"} if named else {"loc": "lower left", "bbox_to_anchor": (0.12, 0.12)}
        legend = figure.legend(frameon=not named, fontsize=8, **place)
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.set(xlabel="recall", ylabel="precision at this recall or a higher one", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"IoU of at least {IOU}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=130)
    return path


def draw_images(path: str, task, split: str, shown: Sequence[Matches]) -> str:
    """Draws images with their objects, and beside them with their detections, two images in a row; returns the path."""
    images = task.images.split(split)
    pixels = [decode(images.read(tf.constant(each.image.index, tf.int64))[0], task.image_shape[2]) for each in shown]
    shapes = [height / width for height, width, _ in (image.shape for image in pixels)]
    heights = [min(max(shapes[i : i + 2]), 1.5) for i in range(0, len(shown), 2)]
    figure = Figure(figsize=(11, 0.4 + sum(0.45 + 2.6 * height for height in heights)), layout="constrained")
    cells = figure.subplots(len(heights), 4, squeeze=False, height_ratios=heights)
    for cell in cells.ravel():
        cell.axis("off")
    for i, each in enumerate(shown):
        true_cell, found_cell = cells[i // 2][2 * (i % 2) : 2 * (i % 2) + 2]
        for cell in (true_cell, found_cell):
            show_pixels(cell, pixels[i].numpy())
        _draw_objects(true_cell, each, task.labels)
        _draw_detections(found_cell, each, task.labels)
        _set_titles(true_cell, found_cell, images.source(each.image.index), each.counts())
    objects, detections = "blue found, orange missed or found as another class", "blue right, orange wrong"
    figure.suptitle(f"objects: {objects}; detections: {detections}; gray: ignored", fontsize=9)
    figure.savefig(path, dpi=130)
    return path


def _set_titles(true_cell, found_cell, source, counts):
    name, kinds = os.path.basename(source), ("missed", "false", "wrong class")
    true_cell.set_title(f"{shortened(name)}\n{counts['objects']} objects", fontsize=8, parse_math=False)
    mistakes = ", ".join(f"{counts[kind]} {kind}" for kind in kinds if counts[kind])
    found_cell.set_title(f"detections\n{mistakes}", fontsize=8)


def _draw_objects(cell, each, labels):
    image = each.image
    right = np.isin(np.arange(len(image.ignored)), each.objects[each.right])
    colors = np.where(image.ignored, _IGNORED, np.where(right, _RIGHT, _WRONG)).tolist()
    _draw_masks(cell, image.true_masks, image.size, colors)
    draw_boxes(cell, image.true_boxes, [labels[number] for number in image.true_classes], colors, fontsize=6)


def _draw_detections(cell, each, labels):
    image, count = each.image, len(each.objects)
    colors = np.where(each.objects == LEFT_OUT, _IGNORED, np.where(each.right, _RIGHT, _WRONG)).tolist()
    texts = [f"{labels[image.classes[i]]} {image.scores[i]:.2f}" for i in range(count)]
    _draw_masks(cell, image.masks[:count], image.size, colors)
    draw_boxes(cell, image.boxes[:count], texts, colors, fontsize=6)


def _draw_masks(cell, masks, size, colors):
    for mask, color in zip(masks, colors, strict=False):
        draw_mask(cell, decode_mask(mask, size), color)
