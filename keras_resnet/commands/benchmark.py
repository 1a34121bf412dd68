"""Times networks of any format side by side, and compares their outputs with those of the first.

    keras-resnet benchmark resnet50 resnet50d
    keras-resnet benchmark runs/latest exports/digits exports/digits/litert/1.tflite --batch_sizes=1,8
    keras-resnet benchmark exports/r50 exports/r50/litert/1-int8.tflite --images=photos --format=csv

Each model is one that `predict` accepts, or the name of a network, which then has random weights. All models run in
this process, in turn, for --seconds each at every batch size, on preprocessed images. Parity uses the same images for
all models. It is the largest difference between logits relative to the first model's largest logit, and the share of
images with the same top class; for detectors, the largest differences of boxes in pixels and of scores, and the share
of objects that both find.
"""

import dataclasses
import os
import sys

from absl import flags

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.commands.models import check_model, format_of
from keras_resnet.errors import ConfigError, suggest
from keras_resnet.files import csv_line, plain_cell
from keras_resnet.processor import serve_only

COLUMNS = {  # name in CSV and JSON -> (heading, format) in the table
    "model": ("model", "{}"),
    "kind": ("kind", "{}"),
    "batch_size": ("batch", "{}"),
    "median_ms": ("median ms", "{:.2f}"),
    "p95_ms": ("p95 ms", "{:.2f}"),
    "images_per_second": ("images/s", "{:.1f}"),
    "speed": ("speed", "{:.2f}x"),
}
PARITY = {  # of classifiers, then of detectors
    False: {"relative_error": ("logits differ", "{:.1e}"), "top1_agreement": ("same class", "{:.1%}")},
    True: {
        "box_error": ("boxes differ", "{:.1e}"),
        "score_error": ("scores differ", "{:.1e}"),
        "found_by_both": ("found by both", "{:.1%}"),
    },
}
LAST = {"calls": ("calls", "{}")}


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_list("batch_sizes", ["1", "8"], "Images per call.", flag_values=options)
    flags.DEFINE_float(
        "seconds", 3.0, "For each model and batch size, in ten turns.", lower_bound=0.0, flag_values=options
    )
    flags.DEFINE_string("format", "table", "table, json or csv; written to the standard output.", flag_values=options)
    flags.DEFINE_list(
        "images", [], "Files, folders, patterns for parity; default parts of two photographs.", flag_values=options
    )
    flags.DEFINE_integer(
        "threads", None, "Threads of every model; default one per core.", lower_bound=1, flag_values=options
    )
    flags.DEFINE_string(
        "checkpoint", "best", "Checkpoint of runs: best (by validation), last, or a step.", flag_values=options
    )
    flags.DEFINE_string(
        "weights", None, "For names of networks: a file, or a name of published weights.", flag_values=options
    )


def main(options, arguments):
    """Prints a row per model and batch size."""
    require_tensorflow_backend()
    if not arguments:
        raise ConfigError("expected models, for example: keras-resnet benchmark resnet50 exports/r50")
    sizes = _batch_sizes(options.batch_sizes)
    if options.format not in _WRITERS:
        raise ConfigError(f"--format={options.format}: {suggest(options.format, _WRITERS)}")
    kinds = {check_model(name, options.weights, options.checkpoint, random_weights=True) for name in arguments}
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    threads = options.threads or os.cpu_count() or 1
    formats = [format_of(kind) for kind in kinds]
    if all(formats):
        serve_only()
    if not all(format_ and format_.predicts_without_tensorflow for format_ in formats):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    from keras_resnet.commands.models import open_model
    from keras_resnet.inference.benchmark import benchmark, examples

    models = []
    for name in arguments:
        _tell(f"loading {name}")
        models.append(open_model(name, options.weights, options.checkpoint, threads))
        if models[-1].finds_boxes != models[0].finds_boxes:
            detector, other = (name, arguments[0]) if models[-1].finds_boxes else (arguments[0], name)
            raise ConfigError(f"{detector}: finds objects, {other} does not; expected models of one kind")
    contents = _contents(options.images)
    images = [examples(model, contents) for model in models]
    seconds = options.seconds * len(models) * len(sizes)
    _tell(f"timing at batch size {', '.join(map(str, sizes))}: {seconds:.0f} seconds or more")
    detectors = models[0].finds_boxes
    rows = benchmark(models, sizes, options.seconds, images, _tell, _compared if detectors else None)
    columns = COLUMNS | PARITY[detectors] | LAST
    print(_WRITERS[options.format]([_values(row, columns) for row in rows], columns, threads), end="")


def _tell(line):
    print(line, file=sys.stderr, flush=True)


def _batch_sizes(values):
    if not values or not all(size.isdecimal() and int(size) >= 1 for size in values):
        raise ConfigError(f"--batch_sizes={','.join(values)}: expected whole numbers >= 1, such as 1,8")
    return [int(size) for size in values]


def _contents(names):
    """Returns {path: bytes} of the given images; None if no images are given."""
    if not names:
        return None
    from keras_resnet.errors import DataError
    from keras_resnet.inference.answers import ImageError
    from keras_resnet.inference.images import find_images, read_image

    contents = {}
    for path in find_images(names):
        content = read_image(path)
        if isinstance(content, ImageError):
            raise DataError(f"--images: {path}: {content.what}")
        contents[path] = content
    return contents


def _compared(outputs, reference):
    """Compares the objects that two detectors find; returns None if they answer other numbers of them."""
    from keras_resnet.export.comparisons.detections import compared

    if any(name not in outputs or outputs[name].shape != value.shape for name, value in reference.items()):
        return None
    try:
        return compared(outputs, reference, len(outputs["scores"]))
    except ValueError as error:  # values that are not finite
        raise ConfigError(str(error)) from None


def _values(row, columns):
    """Returns {column: value} of a row; None for unknown values."""
    values = dataclasses.asdict(row)
    values |= values.pop("parity") or {}
    return {name: values.get(name) for name in columns}


def _table(rows, columns, threads):
    from keras_resnet.inference.writers import printable

    cells = [[heading for heading, _ in columns.values()]]
    for row in rows:
        texts = [form.format(row[name]) if row[name] is not None else "-" for name, (_, form) in columns.items()]
        cells.append([printable(text) for text in texts])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if i < 2 else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join([*lines, "", f"{threads} threads; speed and parity beside the first model's", ""])


def _csv(rows, columns, threads):
    lines = [csv_line(columns)]
    for row in rows:
        lines.append(csv_line(["" if row[n] is None else plain_cell(str(row[n])) for n in columns]))
    return "".join(lines)


def _json(rows, columns, threads):
    import platform
    from importlib.metadata import version

    from keras_resnet.inference.writers import dump_json

    packages = ("tensorflow", "keras", "ai-edge-litert")
    environment = {"threads": threads, "cores": os.cpu_count(), "machine": platform.machine()}
    environment |= {name: version(name) for name in packages}
    return dump_json({"environment": environment, "rows": rows}) + "\n"


_WRITERS = {"table": _table, "json": _json, "csv": _csv}
