"""Checks every image of a data set before a long run, and lists the problems.

    keras-resnet verify-data folder:photos --set data.validation_fraction=0.2 --csv=findings.csv

The data set is folder:PATH, csv:PATH, tfrecord:PATH, tfds:NAME or digits; with boxes coco:PATH, voc:PATH,
imagenet_det:PATH, scenes, annotated:PATH, imagenet_loc:PATH, tfrecord:PATH or tfds:NAME. The settings of sets that all
have boxes are those of the task detection, such as --set data.max_objects=300; for tfrecord and tfds with boxes, add
--set task=detection; for images with several labels, --set task=multilabel. The exit code is 3 if there are findings,
otherwise 0.
"""

import dataclasses
import os
import time
from collections import Counter

from absl import flags
from rich.console import Console
from rich.table import Table

from keras_resnet.commands.entry import require_tensorflow_backend, write_csv
from keras_resnet.config import BOX_SETS, validate
from keras_resnet.data.header import MAX_PIXELS
from keras_resnet.errors import ConfigError
from keras_resnet.tasks import DEFAULT_TASK
from keras_resnet.yaml_files import Located, merge, read_yaml_value

SHOWN = 50  # findings on the screen; the CSV file has all
CLASSES_SHOWN = 10
_WIDTH = 160  # characters of a table, which the terminal may wrap; the default would cut it off


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_multi_string(
        "set", [], "data.key=value or task=NAME, as for training; repeat for more.", flag_values=options
    )
    flags.DEFINE_integer(
        "max_pixels",
        MAX_PIXELS,
        "Images with more pixels are reported as too large, and not decoded.",
        lower_bound=1,
        flag_values=options,
    )
    flags.DEFINE_integer(
        "near_duplicates",
        8,
        "Different bits, of 128, that near duplicates of two splits have at most; -1: compare bytes only.",
        lower_bound=-1,
        upper_bound=128,
        flag_values=options,
    )
    flags.DEFINE_bool("masks", False, "Check the objects' masks too.", flag_values=options)
    flags.DEFINE_bool(
        "statistics", False, "Also print mean and std of the training images, to paste.", flag_values=options
    )
    flags.DEFINE_string("csv", None, "Also write every finding into this file.", flag_values=options)


def main(options, arguments):
    """Prints the findings and the sizes of each split; returns the exit code."""
    require_tensorflow_backend()
    if len(arguments) != 1:
        raise ConfigError("expected one data set, for example: keras-resnet verify-data folder:photos")
    data = data_settings(arguments[0], options.set)
    if options.csv and not os.path.isdir(os.path.dirname(options.csv) or "."):
        raise ConfigError(f"--csv={options.csv}: there is no folder {os.path.dirname(options.csv)}")
    # libjpeg's warnings about damaged files would mix with the lines that name these files.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # decoding needs no GPU, and another run may use it
    from keras_resnet.console import tracked
    from keras_resnet.data.image_set import passed_over_text
    from keras_resnet.data.verify import verify

    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()
    report = verify(
        data,
        options.max_pixels,
        lambda looks, total: tracked(looks, total, console, "verified"),
        options.masks,
        options.near_duplicates,
    )
    if options.csv:
        rows = [dataclasses.asdict(finding) for finding in report.findings]
        write_csv(options.csv, rows, ("kind", "split", "source", "what"), line_end="\r\n")
    if report.findings:
        _print_findings(console, report.findings, options.csv)
    _print_splits(report.splits)
    print(f"classes: {_classes_text(report)}")
    if report.passed_over:
        print(f"ignored: {passed_over_text(report.passed_over)}")
    for note, sources in report.notes.items():
        print(f"note: {len(sources):,} with {note}; the first is {sources[0]}")
    if options.statistics:
        _print_statistics(data, console)
    images = sum(split.images for split in report.splits.values())
    count = len(report.findings)
    found = f"{count:,} finding{'s' * (count > 1)}" if count else "nothing found"
    splits = f"{len(report.splits)} split{'s' * (len(report.splits) > 1)}"
    counts = f"{images:,} images in {splits}, {len(report.labels):,} classes"
    objects = [split.objects for split in report.splits.values() if split.objects is not None]
    counts += f", {sum(objects):,} objects" if objects else ""
    print(f"{counts}, {time.monotonic() - began:.0f} seconds: {found}")
    return 3 if report.findings else 0


def data_settings(name, assignments):
    """Returns the `Data` group of a configuration with this data set and assignments on top.

    Raises:
        ConfigError: the data set's name or an assignment is not valid.
    """
    task = "detection" if name.partition(":")[0] in BOX_SETS else DEFAULT_TASK
    located = Located({"task": task, "data": {"name": name}, "train": {"steps": 1}}, {(): name})
    return validate(with_assignments(located, assignments)).data


def with_assignments(located, assignments):
    """Returns a configuration with the assignments of --set on top.

    Raises:
        ConfigError: an assignment is not one of a key of `data` or of the task.
    """
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = tuple(path.split("."))
        if not equals or not all(keys) or (path != "task" and (keys[0] != "data" or len(keys) < 2)):
            raise ConfigError(
                f"--set={assignment!r}: expected data.key=value or task=NAME, for example data.test_fraction=0.2"
            )
        value = read_yaml_value(text, f"--set={assignment!r}")
        for key in reversed(keys):
            value = {key: value}
        located = merge(located, Located(value, {keys: "--set"}))
    return located


def _print_statistics(data, console):
    """Prints the lines of a configuration that normalize the training images."""
    from keras_resnet.console import tracked
    from keras_resnet.data.statistics import channel_statistics

    mean, std, count = channel_statistics(data, lambda moments, total: tracked(moments, total, console, "measured"))
    print(f"\nOver all pixels of {count:,} training images:\n\nmodel:")
    for name, values in (("mean", mean), ("std", std)):
        print(f"  {name}: [{', '.join(f'{value:.6g}' for value in values)}]")
    print()


def _print_findings(console, findings, path):
    table = _table("kind", "findings")
    for kind, count in Counter(finding.kind for finding in findings).most_common():
        table.add_row(kind, f"{count:,}")
    console.print(table)
    print()
    for finding in findings[:SHOWN]:
        console.print(f"{finding.kind}  {finding}", markup=False)
    if len(findings) > SHOWN:
        where = f"{path} has all" if path else "--csv=FILE writes all"
        print(f"... and {len(findings) - SHOWN:,} more; {where}")
    print()


def _print_splits(splits):
    boxes = any(split.objects is not None for split in splits.values())
    headings = ("objects", "ignored") if boxes else ()
    table = _table("split", "images", "classes", *headings, "smallest", "median", "largest (height x width)")
    for name, split in splits.items():
        counts = (split.images, split.classes) + ((split.objects or 0, split.ignored) if boxes else ())
        sizes = [f"{height} x {width}" for height, width in split.sizes]
        table.add_row(name, *(f"{count:,}" for count in counts), *sizes)
    Console(highlight=False, width=_WIDTH).print(table)


def _classes_text(report):
    """Formats the first classes with their images, or objects, of all splits: "cat 40, dog 38 and 5 more"."""
    counts = [sum(of_class) for of_class in zip(*(split.class_counts for split in report.splits.values()), strict=True)]
    named = [f"{label} {count:,}" for label, count in zip(report.labels, counts, strict=True)]
    more = len(named) - CLASSES_SHOWN
    return ", ".join(named[:CLASSES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _table(*headings):
    table = Table(box=None, header_style="bold", pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=True)
    return table
