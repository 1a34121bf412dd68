"""Exports a trained network: a SavedModel for TF Serving, .tflite files for LiteRT, an ONNX file.

    keras-resnet export --workdir=runs/latest --output=exports/digits
    keras-resnet export --workdir=RUN --output=OUT --formats=saved_model,litert,onnx --precision=float32,float16,int8
    keras-resnet export --weights=FILE_OR_NAME --output=OUT --labels=LABELS.txt

Writes OUTPUT/<version>/ (SavedModel, labels, warm-up requests, export_report.json) and the files of other formats as
OUTPUT/<format>/<version>*, and checks that all agree with the network. docs/serving.md describes their outputs.
"""

import os
import pkgutil
from dataclasses import dataclass, field, replace
from typing import Any

from absl import flags

from keras_resnet.commands.entry import no_arguments, require_tensorflow_backend
from keras_resnet.commands.weights_flags import define_weights_flags, preprocessing_flags, refuse
from keras_resnet.description import height_and_width
from keras_resnet.errors import ConfigError
from keras_resnet.export.formats import EXPORT_FORMATS, Plan, plan, precisions
from keras_resnet.export.serving_kit import check_model_name, write_serving_kit
from keras_resnet.runs.folder import RunFolder
from keras_resnet.tasks import DEFAULT_TASK, TASKS

_EXAMPLE = "keras-resnet export --workdir=runs/latest --output=exports/digits"


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("workdir", None, "A run's folder.", flag_values=options)
    flags.DEFINE_string(
        "checkpoint", "best", "Checkpoint of the run: best (by validation), last, or a step.", flag_values=options
    )
    flags.DEFINE_string("weights", None, "Instead of a run: a weights file or a published name.", flag_values=options)
    flags.DEFINE_string("labels", None, "With --weights: a file with one class name per line.", flag_values=options)
    flags.DEFINE_string(
        "images",
        None,
        "Folder of images to verify on and to calibrate int8; default the run's data set, else photographs.",
        flag_values=options,
    )
    flags.DEFINE_string("output", None, "Folder of the model for TF Serving; versions are inside.", flag_values=options)
    flags.DEFINE_integer("version", None, "A free number; default the next.", lower_bound=1, flag_values=options)
    flags.DEFINE_list("formats", ["saved_model", "litert"], f"Any of {', '.join(EXPORT_FORMATS)}.", flag_values=options)
    flags.DEFINE_list("precision", ["float32"], _precision_help(), flag_values=options)
    flags.DEFINE_string(
        "litert_interface",
        "float32",
        "Input and output of the int8 LiteRT file of batch 1: float32, uint8, int8.",
        flag_values=options,
    )
    flags.DEFINE_string(
        "optimize", "fold", "fold: fold batch normalization into convolutions; none: keep it.", flag_values=options
    )
    flags.DEFINE_bool("stages", False, "Add a signature that returns the stages' outputs.", flag_values=options)
    flags.DEFINE_string(
        "serving_kit", None, "Also write this folder: TF Serving's settings, clients, a test.", flag_values=options
    )
    flags.DEFINE_string("model_name", None, "Name for clients; default the output folder's.", flag_values=options)
    flags.DEFINE_multi_string(
        "set", [], "export.key=value, such as export.top_k=3; repeat for more.", flag_values=options
    )
    define_weights_flags(options)


def _precision_help():
    """Returns the precisions; those that not every format supports are followed by the formats that do."""
    every, texts = len(EXPORT_FORMATS), []
    for name, rows in precisions().items():
        of = ", ".join(row.title for row in rows)
        texts.append(name if len(rows) == every else f"{name} ({of})")
    return f"Any of {', '.join(texts)}."


def main(options, arguments):
    """Exports a network with the settings of the flags."""
    no_arguments(arguments)
    source = Source(
        workdir=options.workdir,
        checkpoint=options.checkpoint,
        weights=options.weights,
        labels=options.labels,
        images=options.images,
        settings=tuple(options.set),
        preprocessing=preprocessing_flags(options),
    )
    what = plan(
        options.formats,
        options.precision,
        options.optimize,
        options.litert_interface,
        stages=options.stages,
        version=options.version,
    )
    export(source, options.output, what, options.serving_kit, options.model_name)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The weights to export; the fields are the command's flags."""

    workdir: str | None = None
    checkpoint: str = "best"
    weights: str | None = None
    labels: str | None = None
    images: str | None = None
    settings: tuple[str, ...] = ()
    preprocessing: dict = field(default_factory=dict)


def export(
    source: Source, output: str | None, plan: Plan, serving_kit: str | None = None, model_name: str | None = None
) -> None:
    """Exports a run or weights and, if `serving_kit` is given, writes the files to serve them.

    Clients of the server use `model_name`; the default is the name of the output folder.

    Raises:
        UserError: the run or the weights do not exist, or the artifacts do not agree with the network.
    """
    require_tensorflow_backend()
    _check(source, output)
    assert output  # `_check` requires it
    if serving_kit or model_name:
        check_model_name(model_name or _name_of(output))
    for name in plan.precisions:
        EXPORT_FORMATS[name].check_packages()
    from keras_resnet.export.export import export_model
    from keras_resnet.export.report import table

    what, model, provenance = _of_weights(source) if source.weights else _of_run(source)
    model_name = model_name or _name_of(output)
    report = export_model(what, model, output, plan, provenance, tell=lambda line: print(f"  {line}", flush=True))
    print(f"Exported {provenance['network']} ({_origin(provenance)}) as version {report['version']}\n")
    print(table(report))
    for artifact in report["artifacts"]:
        print(f"  {artifact['path']}")
    if serving_kit:
        for path in write_serving_kit(output, serving_kit, model_name):
            print(f"  {path}")
    serving = f"--model_name={model_name} --model_base_path={os.path.abspath(output)}"
    print(f"\nNext: keras-resnet predict {output} IMAGE...")
    print(f"      tensorflow_model_server --rest_api_port=8501 {serving}")


def _name_of(output):
    return os.path.basename(os.path.abspath(output))


def _check(source, output):
    """Raises a `ConfigError` if flags are missing or contradictory, before TensorFlow is imported."""
    if source.workdir and source.weights:
        raise ConfigError("--workdir, --weights: export one of them, not both")
    if not (source.workdir or source.weights) or not output:
        name = "output" if source.workdir or source.weights else "workdir"
        raise ConfigError(f"--{name} is missing; for example: {_EXAMPLE}")
    if source.workdir and not os.path.isfile(os.path.join(source.workdir, "config.yaml")):
        where = f"--workdir={source.workdir}"
        raise ConfigError(f"{where}: contains no run (there is no config.yaml); `keras-resnet train` creates one")
    if source.workdir and source.labels:
        raise ConfigError("--labels: requires --weights; a run has its own")
    if source.workdir:
        refuse(source.preprocessing, "requires --weights; a run has its own")
    for assignment in source.settings:
        if not assignment.startswith("export."):
            raise ConfigError(f"--set={assignment}: only keys of the group export can be changed here")


def _of_run(source) -> tuple[Any, Any, dict]:
    from keras_resnet.commands.runs import load_run
    from keras_resnet.config import changed
    from keras_resnet.data.example_images import FolderImages

    task = RunFolder(source.workdir).read_config().task
    exportable = TASKS[task].export
    if not exportable:
        raise ConfigError(f"--workdir={source.workdir}: models of the task {task} cannot be exported")
    run = load_run(source.workdir, source.checkpoint)
    config = changed(run.config, source.settings)
    if not run.finished:
        print(f"WARNING: the run is not finished; exporting step {run.step:,} of {config.train.total_steps:,}")
    provenance = {
        "network": config.model.name,
        "data": config.data.name,
        "run": os.path.realpath(source.workdir),
        "checkpoint": source.checkpoint,
        "step": run.step,
    }
    if source.images:
        images: Any = FolderImages(source.images, run.description.preprocessing)
    else:
        images = _images_of_run(source.workdir, config, run.description)
    what = pkgutil.resolve_name(exportable)(run.description, config.export, images)
    return what, run.model, provenance


def _images_of_run(workdir, config, description):
    """Returns the run's data set; without it, prints a line and returns the run's kept images or photographs."""
    from keras_resnet.data.example_images import Photographs
    from keras_resnet.errors import UserError
    from keras_resnet.runs.folder import RunFolder
    from keras_resnet.runs.kept_images import KeptImages
    from keras_resnet.task import load_task

    local = config.model_copy(update={"data": config.data.model_copy(update={"download": False})})
    try:
        return load_task(local, description)
    except UserError as error:
        reason = str(error)
    try:
        images: Any = KeptImages(RunFolder(workdir).kept_images)
        kind = "images that the run keeps"
    except (OSError, ValueError):  # the run is of version 0.1, or its images are damaged
        images = Photographs(description.preprocessing, "make the run's data set available")
        kind = "parts of two photographs"
    print(f"  {reason}\n  verifying on {kind} instead", flush=True)
    return images


def _of_weights(source) -> tuple[Any, Any, dict]:
    from keras_resnet.applications import assemble
    from keras_resnet.data.example_images import FolderImages, Photographs
    from keras_resnet.weights.loading import load_pretrained

    settings = _settings(source.settings)
    try:
        pretrained = load_pretrained(source.weights, **source.preprocessing, detectors=True)
        about = pretrained.description
        if not (pretrained.classes or about.detector):
            raise ValueError("has no classifier; there is nothing to answer")
        for line in pretrained.assumed:
            print(f"  assumed: {line}")
        provenance = {"network": about.spec.name, "weights": source.weights, "source": about.source}
        if about.detector:
            return *_of_detector(source, pretrained, settings), provenance
        size = about.preprocessing.image_size or about.spec.image_size
        shape = (*height_and_width(size), pretrained.channels)
        model = assemble(about.spec, pretrained, input_shape=shape, classifier_activation=None)
    except (ValueError, OSError) as error:
        text = str(error).splitlines()[0].removeprefix(f"{source.weights}: ")
        raise ConfigError(f"--weights={source.weights}: {text}") from None
    labels = _labels(source.labels, about.labels, pretrained.classes)
    description = model.description = replace(model.description, labels=labels)
    images: Any = (
        FolderImages(source.images, description.preprocessing)
        if source.images
        else Photographs(description.preprocessing, "--images=FOLDER")
    )
    exportable = TASKS["multilabel" if description.thresholds else DEFAULT_TASK].export
    assert exportable
    return pkgutil.resolve_name(exportable)(description, settings, images), model, provenance


def _of_detector(source, pretrained, settings):
    from keras_resnet.commands.runs import built_detector
    from keras_resnet.data.example_images import FolderImages, Photographs

    exportable = TASKS["detection"].export
    assert exportable
    model = built_detector(pretrained)
    labels = _labels(source.labels, pretrained.description.labels, len(pretrained.description.labels))
    description = model.description = replace(model.description, labels=labels)
    preprocessing = description.preprocessing
    images: Any = (
        FolderImages(source.images, preprocessing) if source.images else Photographs(preprocessing, "--images=FOLDER")
    )
    return pkgutil.resolve_name(exportable)(description, settings, images), model


def _settings(assignments):
    """Returns the settings of the group export: the defaults with assignments on top."""
    from keras_resnet.config import Config, changed

    return changed(Config.model_validate({"train": {"steps": 1}}), assignments).export


def _labels(path, known, classes):
    """Returns the class names: from a file with one name per line, else from the weights, else numbers."""
    if not path and known:
        return known
    if not path:
        print(f"  --labels=FILE names the {classes} classes; without it they are numbers")
        return tuple(map(str, range(classes)))
    try:
        with open(path, encoding="utf-8-sig") as file:  # editors on Windows may write a byte order mark
            labels = tuple(line.strip() for line in file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels={path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(labels) != classes:
        raise ConfigError(f"--labels={path}: has {len(labels)} lines, the weights have {classes} classes")
    return labels


def _origin(provenance):
    if "weights" in provenance:
        return provenance["weights"]
    return f"{provenance['checkpoint']}, step {provenance['step']:,}"
