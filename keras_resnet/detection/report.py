"""Writes tables and plots of a detector's results to a folder."""

import json
import os

from keras_resnet.detection.coco_metrics import segmentation, xywh
from keras_resnet.detection.collector import RECALLS, Collector
from keras_resnet.detection.mistakes import IOU, SCORE, confusion, match, worst
from keras_resnet.detection.report_plots import draw_curves, draw_images
from keras_resnet.reports import distinct, draw_confusion, markdown_table, write_csv, write_json

SHOWN_IMAGES = 8
BACKGROUND = "background"


def write_report(
    folder: str,
    task,
    split: str,
    collected: Collector,
    metrics: dict[str, float],
    class_rows: list[dict],
    content: dict,
) -> list[str]:
    """Writes the files of the table in docs/detection.md.

    Args:
        folder: the folder, which may exist.
        task: a `Detection`, which provides the images.
        split: name of the split.
        collected: the collected images and their metrics.
        metrics: {name: value} of the split.
        class_rows: a row for each class.
        content: the content of evaluation.json.

    Returns:
        The paths written.
    """
    os.makedirs(folder, exist_ok=True)
    matches = [match(image) for image in collected.images]
    assert collected.measured is not None
    names = distinct((*task.labels, BACKGROUND))
    classes = list(zip(names[:-1], collected.measured.classes, strict=True))

    def path(name):
        return os.path.join(folder, name)

    matrix = confusion(matches, len(task.labels))
    paths = [
        write_json(path("evaluation.json"), content),
        write_csv(path("classes.csv"), class_rows),
        _write_curves(path("precision_recall.csv"), classes),
        draw_curves(path("precision_recall.png"), classes),
        _write_confusion(path("confusion.csv"), matrix, names),
        draw_confusion(path("confusion.png"), matrix, names, "object", "detection", "share of the row"),
        write_detections(path("detections.json"), task, split, collected),
    ]
    mistaken = worst(matches)
    if mistaken:
        source = task.images.split(split).source
        rows = [{"image": source(each.image.index)} | each.counts() for each in mistaken]
        paths.append(write_csv(path("errors.csv"), rows))
        paths.append(draw_images(path("errors.png"), task, split, mistaken[:SHOWN_IMAGES]))
    about = f"{len(mistaken):,} of {len(matches):,} images have mistakes"
    paths.append(_write_page(path("report.md"), task, metrics, class_rows, content, about, bool(mistaken)))
    return paths


def _write_curves(path, classes):
    rows = [
        {"class": label, "recall": round(recall, 2), "precision": round(precision, 4), "score": round(score, 4)}
        for label, each in classes
        if each.precisions is not None
        for recall, precision, score in zip(
            RECALLS.tolist(), each.precisions.tolist(), each.scores.tolist(), strict=True
        )
    ]
    return write_csv(path, rows, ("class", "recall", "precision", "score"))


def _write_confusion(path, matrix, names):
    rows = [
        {"object": name} | {f"found as {other}": count for other, count in zip(names, row, strict=True)}
        for name, row in zip(names, matrix.tolist(), strict=True)
    ]
    return write_csv(path, rows)


def write_detections(path, task, split, collected):
    """Writes all detections as COCO's evaluation server takes them, one a line."""
    ids, categories = task.images.split(split).ids, task.images.category_ids or range(len(task.labels))
    rows = (
        {
            "image_id": image.index if ids is None else ids[image.index],
            "category_id": categories[label],
            "bbox": [round(value, 3) for value in xywh(box)],
            "score": round(score, 5),
        }
        | ({"segmentation": segmentation(image.masks[i], image.size)} if image.masks else {})
        for image in collected.images
        for i, (box, label, score) in enumerate(
            zip(image.boxes, image.classes.tolist(), image.scores.tolist(), strict=True)
        )
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write("[" + ",\n".join(map(json.dumps, rows)) + "]\n")
    return path


def _improvements(content):
    """Yields a line for each improvement in testing."""
    if "scales" in content:
        yield f"- features of RoIs at the scales {', '.join(map(str, content['scales']))}"
    if "refine" in content:
        yield "- boxes are refined, and vote"


def _write_page(path, task, metrics, class_rows, content, about, worst_shown):
    """Writes report.md, which shows the other files."""
    rows = [{"metric": task.metrics[name].short or name, "value": value} for name, value in metrics.items()]
    lines = [
        f"# Evaluation on {content['data']}, {content['split']}",
        "",
        *(f"- {name}" for name in content["networks"]),
        f"- protocol {content['protocol']}, at most {task.max_detections} detections per image",
        *_improvements(content),
        "",
        *markdown_table(rows, 4),
        "",
        "## Classes",
        "",
        *markdown_table(class_rows, 4),
        "",
        f"![Precision and recall of each class at an IoU of {IOU}](precision_recall.png)",
        "",
        "## Confusions",
        "",
        f"Detections with a score of at least {SCORE}, highest first: each takes the free object of any class that it",
        f"overlaps most, with an IoU of at least {IOU}. Missed objects are found as {BACKGROUND}; false detections",
        f"have {BACKGROUND} as their object. Objects to be ignored are left out, with the detections that have half",
        "of their area in one.",
        "",
        "![Confusion matrix; the background is last](confusion.png)",
        "",
        "## Worst images",
        "",
        f"{about}: missed objects, false detections and objects with a wrong class, matched as above.",
        *(["Most mistakes first:", "", "![Images with most mistakes](errors.png)"] if worst_shown else []),
        "",
    ]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return path
