"""Opens any model that a user can name as a `Predictor`."""

import os
import pkgutil
import sys

from keras_resnet.commands.weights_flags import refuse
from keras_resnet.errors import ConfigError, suggest
from keras_resnet.export.formats import EXPORT_FORMATS, SAVED_MODEL, ExportFormat, suffixes
from keras_resnet.runs.folder import RunFolder, check_checkpoint_name
from keras_resnet.specs import SPECS
from keras_resnet.tasks import TASKS
from keras_resnet.weights import published


def kind_of(name: str) -> str:
    """Returns run, export, weights, published, network or the name of an export format; does not import TensorFlow.

    Raises:
        ConfigError: the name is none of these.
    """
    if os.path.isdir(name):
        there = os.listdir(name)
        if "saved_model.pb" in there:
            return SAVED_MODEL
        if "config.yaml" in there:
            return "run"
        if versions(name):
            return "export"
        if published.is_weights_folder(name):
            return "weights"
        raise ConfigError(f"{name}: contains no run, no exported SavedModel and no weights; {_expected()}")
    if os.path.isfile(name):
        ending = os.path.splitext(name)[1]
        return next((format_ for format_, suffix in suffixes().items() if suffix == ending), "weights")
    if name in published.entries() or name.startswith(published.HUB_SCHEME):
        return "published"
    if name in SPECS:
        return "network"
    if os.path.isfile(f"{name}.index"):  # a checkpoint prefix
        return "weights"
    near = suggest(name, [*published.entries(), *SPECS])
    raise ConfigError(f'no file, folder or network "{name}"; {near if near.startswith("did") else _expected()}')


def _expected():
    return (
        "expected a run's folder, a file of weights, an export's folder, a SavedModel, a "
        f"{' or '.join(suffixes().values())} file, or a name of published weights"
    )


def format_of(kind: str) -> ExportFormat | None:
    """Returns the export format of a `kind_of`: an export's folder stands for a SavedModel; None for live networks."""
    return EXPORT_FORMATS.get(SAVED_MODEL if kind == "export" else kind)


def versions(folder: str) -> list[str]:
    """Returns the versions in an export's folder as strings, newest first."""
    names = [name for name in os.listdir(folder) if name.isdecimal()]
    there = [name for name in names if os.path.isfile(os.path.join(folder, name, "saved_model.pb"))]
    return sorted(there, key=int, reverse=True)


def check_model(
    name: str,
    weights: str | None = None,
    checkpoint: str = "best",
    random_weights: bool = False,
    preprocessing: dict | None = None,
) -> str:
    """Checks a model's name and flags without importing TensorFlow, and returns `kind_of(name)`.

    Raises:
        ConfigError: the name or a flag is not valid.
    """
    kind = kind_of(name)
    check_checkpoint_name(checkpoint)
    if kind == "run":
        RunFolder(name).read_config()
    if kind == "network" and not weights and not random_weights:
        known = [entry for entry, about in published.entries().items() if about.network == name]
        example = f"--weights={known[0] if known else 'FILE.safetensors'}"
        raise ConfigError(f"{name}: is a network without weights; name some, for example {example}")
    if format_of(kind):
        refuse(preprocessing or {}, f"{name} has its preprocessing inside; export the weights again with this flag")
    if weights and kind != "network":
        raise ConfigError(f"--weights={weights}: is for the name of a network, such as resnet50, not for {name}")
    return kind


def open_model(
    name: str,
    weights: str | None = None,
    checkpoint: str = "best",
    threads: int | None = None,
    preprocessing: dict | None = None,
):
    """Returns a `Predictor` for the model that a user names.

    Args:
        name: see `kind_of`; an export's folder stands for its newest version.
        weights: for a network's name: a file or a name of published weights; None for random weights.
        checkpoint: for a run: "best", "last" or a step.
        threads: for exports that run without TensorFlow; the default is one for LiteRT and all cores for ONNX Runtime.
        preprocessing: for weights and runs: values that replace their own; see `load_pretrained`.

    Raises:
        ConfigError: the model cannot be opened; the message is one line.
    """
    kind = kind_of(name)
    exported = format_of(kind)
    if exported:
        path = os.path.join(name, versions(name)[0]) if kind == "export" else name
        return exported.open(path, name, threads)
    if kind == "run" or (kind == "weights" and _wrote(name)):
        return _of_run(name, checkpoint, preprocessing or {})
    given = preprocessing or {}
    return _of_network(name, weights, given) if kind == "network" else _with_weights(name, given)


def _wrote(path):
    from keras_resnet.commands.runs import is_of_a_run  # imports TensorFlow

    return is_of_a_run(path)


def _of_run(name, checkpoint, given):
    from keras_resnet.commands.runs import load_run

    refuse({key: value for key, value in given.items() if key in ("mean", "std")}, "a run has its own")
    run = load_run(name, checkpoint, **given)
    if not run.finished:
        print(f"WARNING: {name}: the run is not finished; these are the weights of step {run.step:,}", file=sys.stderr)
    predictor = TASKS[run.config.task].predictor
    if not predictor:
        raise ConfigError(f"{name}: the task {run.config.task} has no predictions")
    return pkgutil.resolve_name(predictor)(run.model, run.description.labels, run.description.preprocessing, name)


def _of_network(name, weights, given):
    """Returns a predictor for a network of `SPECS`, with the given or random weights."""
    from keras_resnet.builder import build
    from keras_resnet.inference.keras_model import KerasPredictor
    from keras_resnet.weights.loading import check_network, load_pretrained

    if weights is None:
        model = build(SPECS[name])
        return KerasPredictor(model, _labels(model, False), model.description.preprocessing, name)
    try:
        pretrained = load_pretrained(weights, SPECS[name], **given)
        check_network(pretrained, SPECS[name], {}, weights)
    except ValueError as error:
        raise ConfigError(f"--weights: {error}") from None
    return _assembled(pretrained, weights, f"{name} ({weights})")


def _with_weights(name, given):
    from keras_resnet.weights.loading import load_pretrained

    try:
        pretrained = load_pretrained(name, **given, detectors=True)
        if pretrained.description.detector:
            return _detector(pretrained, name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return _assembled(pretrained, name, name)


def _detector(pretrained, name):
    from keras_resnet.commands.runs import built_detector

    for line in pretrained.assumed:
        print(f"{name}: assumed: {line}", file=sys.stderr)
    model, about = built_detector(pretrained), pretrained.description
    predictor = TASKS["detection"].predictor
    assert predictor
    return pkgutil.resolve_name(predictor)(model, about.labels, about.preprocessing, name)


def _assembled(pretrained, weights, source):
    from keras_resnet.applications import assemble
    from keras_resnet.inference.keras_model import KerasPredictor

    if not pretrained.classes:
        raise ConfigError(f"{weights}: has no classifier, so it names no classes")
    for line in pretrained.assumed:
        print(f"{weights}: assumed: {line}", file=sys.stderr)
    model = assemble(pretrained.spec, pretrained, classifier_activation=None)
    about = model.description
    labels = about.labels or _labels(model, weights == "imagenet" or weights in published.entries())
    return KerasPredictor(model, labels, about.preprocessing, source)


def _labels(model, of_imagenet):
    """Returns ImageNet's class names for published weights, from the file that Keras downloads once; else numbers."""
    from keras_resnet.inference.artifacts import numbered

    classes = model.output_shape[-1]
    if of_imagenet and classes == 1000:
        import numpy as np
        from keras.applications.imagenet_utils import decode_predictions

        try:  # with decreasing scores, the decoded names are in class order
            decoded = decode_predictions(-np.arange(1000, dtype=np.float32)[None], top=1000)[0]
            return tuple(label for _, label, _ in decoded)
        except Exception as error:  # any error of the download, since names are optional
            print(f"WARNING: no names of ImageNet's classes ({error}); showing numbers", file=sys.stderr)
    return numbered(classes)
