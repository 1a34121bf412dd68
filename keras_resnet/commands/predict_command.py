"""Names what is in images, with whatever a network is kept as.

    python -m keras_resnet predict exports/digits IMAGE... --picture=predictions.png
    python -m keras_resnet predict runs/latest photos --explain=grad_cam --picture=heat.png
    python -m keras_resnet predict exports/litert/1.tflite 'photos/*.jpg' --format=csv > found.csv
    python -m keras_resnet predict torchvision/resnet50.IMAGENET1K_V2 photos
    python -m keras_resnet predict resnet50 photos --weights=FILE.safetensors

The model is a run's folder, a file of weights, a name of published weights, a network's name with --weights, an
export's folder (its newest version) or one version of it, a .tflite or an .onnx file. Images are files, folders and
patterns. Each is prepared as the model's own validation does. Exit codes: 0 all were answered, 3 some could not be
read; the others are answered all the same.
"""

import os
import sys

from absl import flags

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.commands.models import check_model
from keras_resnet.commands.weights_flags import preprocessing
from keras_resnet.errors import ConfigError, DataError, DiskError, suggest
from keras_resnet.inference.answers import FORMATS
from keras_resnet.processor import serve_only

TOP_K = flags.DEFINE_integer("top_k", None, "Classes to show; default 5, or all of fewer.", lower_bound=1)
FORMAT = flags.DEFINE_string("format", "table", f"{', '.join(FORMATS)}; written to the standard output.")
PICTURE = flags.DEFINE_string("picture", None, "Also draw the first 20 images with their predictions, a PNG file.")
EXPLAIN = flags.DEFINE_string("explain", None, "grad_cam: heat maps of what speaks for the best class, in the picture.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "Of a run: best (by validation), last, or a step.")
WEIGHTS = flags.DEFINE_string("weights", None, "For a network's name: a file, or a name of published weights.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Images that are answered together.", lower_bound=1)


def main(positional):
    """Prints what is found in each image; returns the exit code."""
    require_tensorflow_backend()
    if len(positional) < 2:
        raise ConfigError(
            "expected a model and images, for example: python -m keras_resnet predict exports/digits a.png"
        )
    model, *names = positional
    given = preprocessing()
    kind = check_model(model, WEIGHTS.value, CHECKPOINT.value, preprocessing=given)
    _check_flags(kind)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # libjpeg's remarks would come between the lines
    if kind in ("saved_model", "export"):
        serve_only()
    from keras_resnet.commands.models import open_model
    from keras_resnet.inference.images import find_images
    from keras_resnet.inference.predictor import check_top_k

    paths = find_images(names)
    predictor = open_model(model, WEIGHTS.value, CHECKPOINT.value, preprocessing=given)
    top_k = check_top_k(predictor, TOP_K.value)
    failed, kept = _answer_all(predictor, paths, top_k)
    if PICTURE.value:
        _draw(predictor, kept)
    if failed:
        raise DataError(f"{failed:,} of {len(paths):,} images could not be answered; their lines say why")
    return 0


def _check_flags(kind):
    """What can be told to be wrong before anything is loaded."""
    if FORMAT.value not in FORMATS:
        raise ConfigError(f"--format={FORMAT.value}: {suggest(FORMAT.value, FORMATS)}")
    check_picture(PICTURE.value)
    if EXPLAIN.value is None:
        return
    if EXPLAIN.value != "grad_cam":
        raise ConfigError(f'--explain={EXPLAIN.value}: expected "grad_cam"')
    if not PICTURE.value:
        raise ConfigError("--explain=grad_cam: needs --picture=FILE.png, where the heat maps are drawn")
    if kind not in ("run", "weights", "published", "network"):
        raise ConfigError("--explain=grad_cam: needs derivatives, which exports do not have; name a run or weights")


def check_picture(path: str | None) -> None:
    """Raises a `ConfigError` where no PNG file can be written at `path`; before any work is done."""
    if path and not path.endswith(".png"):
        raise ConfigError(f"--picture={path}: expected the name of a .png file")
    folder = os.path.dirname(path or "") or "."
    if path and not os.path.isdir(folder):
        raise ConfigError(f"--picture={path}: there is no folder {folder}")
    if path and (os.path.isdir(path) or not os.access(folder, os.W_OK)):
        raise ConfigError(f"--picture={path}: cannot be written")


def _answer_all(predictor, paths, top_k):
    """Writes answers as they come; returns how many failed, and for the picture the first (path, bytes, prediction)."""
    from rich.console import Console

    from keras_resnet.data.progress import tracked
    from keras_resnet.inference.answers import writer_of
    from keras_resnet.inference.predictor import Fault

    writer, console = writer_of(FORMAT.value, paths), Console(stderr=True)
    answers = _answers(predictor, paths, top_k)
    if console.is_terminal and not sys.stdout.isatty() and len(paths) > BATCH_SIZE.value:
        answers = tracked(answers, len(paths), console, "answered")  # a bar, where it cannot run into the lines
    shown = 0
    if PICTURE.value:
        from keras_resnet.inference.picture import MAX_SHOWN

        shown = MAX_SHOWN
    failed = 0
    kept: list[tuple] = []
    sys.stdout.write(writer.begin())
    for path, content, answer in answers:
        sys.stdout.write(writer.row(path, answer))
        sys.stdout.flush()
        if isinstance(answer, Fault):
            failed += 1
        elif len(kept) < shown:
            kept.append((path, content, answer))
    sys.stdout.write(writer.end())
    sys.stdout.flush()
    return failed, kept


def _answers(predictor, paths, top_k):
    """(path, bytes or None, answer) for every path, in order, a batch at a time."""
    from keras_resnet.inference.images import read_image
    from keras_resnet.inference.predictor import Fault

    for start in range(0, len(paths), BATCH_SIZE.value):
        batch = paths[start : start + BATCH_SIZE.value]
        read = [read_image(path) for path in batch]
        contents = [each for each in read if isinstance(each, bytes)]
        found = iter(predictor.answer(contents, top_k) if contents else [])
        for path, each in zip(batch, read, strict=True):
            yield (path, None, each) if isinstance(each, Fault) else (path, each, next(found))


def _draw(predictor, kept):
    from keras_resnet.inference import picture

    if not kept:
        print(f"--picture={PICTURE.value}: not drawn, there is nothing to show", file=sys.stderr)
        return
    try:
        picture.draw(PICTURE.value, [_shown(predictor, *each) for each in kept])
    except OSError as error:
        raise DiskError(f"--picture={PICTURE.value}: cannot be written ({error.strerror})") from None
    print(f"picture: {PICTURE.value}", file=sys.stdout if FORMAT.value == "table" else sys.stderr)


def _shown(predictor, path, content, prediction):
    """The whole picture, or, with a heat map, what the network sees of it."""
    from keras_resnet.inference.images import decoded, prepared
    from keras_resnet.inference.picture import Shown

    title = os.path.basename(path)
    pixels = decoded(content, predictor.image_shape[2] if EXPLAIN.value else 3)
    if not EXPLAIN.value:
        return Shown(pixels, title, prediction)
    from keras_resnet.analysis.grad_cam import grad_cam

    image = prepared(pixels, predictor.preparation, predictor.image_shape[0])
    heat = grad_cam(predictor.model, image[None], [prediction.classes[0]])[0]
    return Shown(image, title, prediction, heat)
