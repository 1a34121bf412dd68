"""Classifies images, or finds the objects in them, with a run, weights, or an export of any format.

    keras-resnet predict exports/digits IMAGE... --plot=predictions.png
    keras-resnet predict runs/latest photos --explain=grad_cam --plot=heat.png
    keras-resnet predict exports/litert/1.tflite 'photos/*.jpg' --format=csv > found.csv
    keras-resnet predict torchvision/resnet50.IMAGENET1K_V2 photos
    keras-resnet predict resnet50 photos --weights=FILE.safetensors

The model is a run's folder, a weights file, a name of published weights, a network's name with --weights, an export's
folder (its newest version) or one version of it, a .tflite or an .onnx file. Images are files, folders and patterns.
Each image is preprocessed as in the model's validation. The exit code is 0 if all images are classified, and 3 if some
are unreadable; the command still classifies the others.
"""

import os
import sys

from absl import flags

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.commands.improvement_flags import define_improvement_flags, scales_of
from keras_resnet.commands.models import check_model, format_of
from keras_resnet.commands.weights_flags import define_weights_flags, preprocessing_flags
from keras_resnet.errors import ConfigError, DataError, DiskError, suggest
from keras_resnet.inference.writers import FORMATS
from keras_resnet.processor import serve_only

MIN_SCORE = 0.3  # of a detector's objects


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_integer(
        "top_k",
        None,
        "Classes to show, default 5; or objects, default all.",
        lower_bound=1,
        flag_values=options,
    )
    flags.DEFINE_float(
        "min_score",
        None,
        "Detectors: minimum score of an object; default 0.3. 0 shows all.",
        lower_bound=0,
        upper_bound=1,
        flag_values=options,
    )
    flags.DEFINE_string(
        "format", "table", f"{', '.join(FORMATS)}; written to the standard output.", flag_values=options
    )
    flags.DEFINE_string(
        "plot", None, "Also plot the first 20 images with their predictions to a PNG file.", flag_values=options
    )
    flags.DEFINE_string(
        "explain", None, "grad_cam: add heat maps of the evidence for the top class to the plot.", flag_values=options
    )
    flags.DEFINE_string(
        "checkpoint", "best", "Checkpoint of a run: best (by validation), last, or a step.", flag_values=options
    )
    flags.DEFINE_string(
        "weights", None, "For a network's name: a file, or a name of published weights.", flag_values=options
    )
    define_improvement_flags(options, "Detectors: sides of the squares that RoI features come from.")
    flags.DEFINE_integer("batch_size", 16, "Images per call of the model.", lower_bound=1, flag_values=options)
    define_weights_flags(options)


def main(options, arguments):
    """Prints the predictions for each image; returns the exit code."""
    require_tensorflow_backend()
    if len(arguments) < 2:
        raise ConfigError("expected a model and images, for example: keras-resnet predict exports/digits a.png")
    model, *names = arguments
    given, scales = preprocessing_flags(options), scales_of(options)
    kind = check_model(model, options.weights, options.checkpoint, preprocessing=given)
    if options.format not in FORMATS:
        raise ConfigError(f"--format={options.format}: {suggest(options.format, FORMATS)}")
    check_plot(options.plot)
    _check_explain(options.explain, options.plot, kind)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # libjpeg's warnings would mix with the output
    if format_of(kind):
        serve_only()
    from keras_resnet.commands.models import open_model
    from keras_resnet.inference.answers import check_top_k
    from keras_resnet.inference.images import find_images
    from keras_resnet.inference.writers import writer_of

    predictor = open_model(model, options.weights, options.checkpoint, preprocessing=given)
    paths = find_images(names, predictor.image_shape[2])
    if options.explain and predictor.finds_boxes:
        raise ConfigError(f"--explain={options.explain}: {model} finds objects; heat maps are for classifiers")
    if options.refine or scales:
        if not hasattr(predictor, "improved"):
            raise ConfigError(f"{model}: --refine and --scales are for runs and weights of detectors")
        predictor = predictor.improved(options.refine, scales)
    top_k = check_top_k(predictor, options.top_k)
    if options.min_score is not None and not predictor.finds_boxes:
        how = "its thresholds choose its labels" if predictor.thresholds else "--top_k limits its classes"
        raise ConfigError(f"--min_score={options.min_score:g}: {model} is a classifier; {how}")
    answers = _answers(predictor, paths, top_k, options.batch_size)
    if predictor.finds_boxes:
        answers = _above(answers, MIN_SCORE if options.min_score is None else options.min_score)
    writer = writer_of(options.format, paths, predictor.finds_boxes)
    failed, kept = _write(answers, paths, writer, options.batch_size, bool(options.plot))
    if options.plot:
        table = options.format == "table"
        _draw(options.plot, predictor, kept, bool(options.explain), sys.stdout if table else sys.stderr)
    if failed:
        raise DataError(f"{failed:,} of {len(paths):,} images have no prediction; see their lines")
    return 0


def _check_explain(explain, plot, kind):
    """Checks `--explain` before the model is loaded."""
    if explain is None:
        return
    if explain != "grad_cam":
        raise ConfigError(f'--explain={explain}: expected "grad_cam"')
    if not plot:
        raise ConfigError("--explain=grad_cam: needs --plot=FILE.png, where the heat maps are drawn")
    if kind not in ("run", "weights", "published", "network"):
        raise ConfigError("--explain=grad_cam: needs gradients, which exports do not have; use a run or weights")


def check_plot(path: str | None) -> None:
    """Raises a `ConfigError` if no PNG file can be written to `path`."""
    if path and not path.endswith(".png"):
        raise ConfigError(f"--plot={path}: expected the name of a .png file")
    folder = os.path.dirname(path or "") or "."
    if path and not os.path.isdir(folder):
        raise ConfigError(f"--plot={path}: there is no folder {folder}")
    if path and (os.path.isdir(path) or not os.access(folder, os.W_OK)):
        raise ConfigError(f"--plot={path}: cannot be written")


def _write(answers, paths, writer, batch_size, plotted):
    """Writes answers as they arrive; returns the number of failures and (path, bytes, prediction) of images to plot."""
    from rich.console import Console

    from keras_resnet.console import tracked
    from keras_resnet.inference.answers import ImageError

    console = Console(stderr=True)
    if console.is_terminal and not sys.stdout.isatty() and len(paths) > batch_size:
        answers = tracked(answers, len(paths), console, "answered")  # here the bar does not mix with the output
    shown = 0
    if plotted:
        from keras_resnet.inference.plot import MAX_SHOWN

        shown = MAX_SHOWN
    failed = 0
    kept: list[tuple] = []
    sys.stdout.write(writer.begin())
    for path, content, answer in answers:
        sys.stdout.write(writer.row(path, answer))
        sys.stdout.flush()
        if isinstance(answer, ImageError):
            failed += 1
        elif len(kept) < shown:
            kept.append((path, content, answer))
    sys.stdout.write(writer.end())
    sys.stdout.flush()
    return failed, kept


def _answers(predictor, paths, top_k, batch_size):
    """Yields (path, bytes or None, answer) for every path, in order."""
    from keras_resnet.inference.answers import ImageError
    from keras_resnet.inference.images import read_image

    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        read = [read_image(path, predictor.image_shape[2]) for path in batch]
        contents = [each for each in read if isinstance(each, bytes)]
        found = iter(predictor.answer(contents, top_k) if contents else [])
        for path, each in zip(batch, read, strict=True):
            yield (path, None, each) if isinstance(each, ImageError) else (path, each, next(found))


def _above(answers, score):
    """Yields the answers with the objects whose score is `score` or more."""
    from keras_resnet.inference.answers import Prediction

    for path, content, answer in answers:
        yield path, content, answer.above(score) if isinstance(answer, Prediction) else answer


def _draw(path, predictor, kept, explain, stream):
    from keras_resnet.inference import plot

    if not kept:
        print(f"--plot={path}: not drawn, there is nothing to show", file=sys.stderr)
        return
    try:
        plot.draw(path, [_shown(predictor, *each, explain=explain) for each in kept])
    except OSError as error:
        raise DiskError(f"--plot={path}: cannot be written ({error.strerror})") from None
    print(f"plot: {path}", file=stream)


def _shown(predictor, path, content, prediction, *, explain):
    """Returns the whole image or, with a heat map, the network's input."""
    from keras_resnet.data.arrays import visible
    from keras_resnet.inference.images import decoded, prepared
    from keras_resnet.inference.plot import Shown

    title = os.path.basename(path)
    channels = predictor.image_shape[2]
    pixels = decoded(content, channels if explain or channels > 3 else 3, predictor.preprocessing.exif_orientation)
    if not explain:
        return Shown(visible(pixels) if channels > 3 else pixels, title, prediction)
    from keras_resnet.analysis.grad_cam import grad_cam

    image = prepared(pixels, predictor.preprocessing, predictor.image_shape[:2])
    if not prediction.classes:  # a multi-label model found none
        return Shown(image, title, prediction)
    heat = grad_cam(predictor.model, image[None], [prediction.classes[0]])[0]
    return Shown(visible(image) if channels > 3 else image, title, prediction, heat)
