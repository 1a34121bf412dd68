"""Measures the metrics of a split of a data set with one of the papers' protocols; every image counts once.

    keras-resnet evaluate runs/latest --split=test
    keras-resnet evaluate runs/a runs/b --protocol=multi_scale --report=report

    keras-resnet evaluate torchvision/resnet50.IMAGENET1K_V2 --set=data.name=tfds:imagenet2012

Each argument is a run's folder, or weights: a file or a published name. Weights that are not from a run need
--set=data.name=... for the data set. If there are several arguments, their scores are averaged (an ensemble).
Protocols: single, the central crop; ten_crop, the corners, the center and their mirror images; multi_scale, the whole
image at several sizes and mirrored, fully convolutional. For detectors: coco, COCO's metrics; voc07 and voc12, Pascal
VOC's average precision; imagenet_det, that of ImageNet DET; and --refine and --scales with any of these. For
localizers: single; dense, the whole image at several sizes, fully convolutional.
"""

import os
import pkgutil
from typing import Any

from absl import flags

from keras_resnet.commands.entry import one_of, require_tensorflow_backend
from keras_resnet.commands.improvement_flags import define_improvement_flags, scales_of
from keras_resnet.commands.weights_flags import define_weights_flags, preprocessing_flags
from keras_resnet.config.groups import STRATEGIES
from keras_resnet.errors import ConfigError, DiskError
from keras_resnet.runs.folder import RunFolder, check_checkpoint_name
from keras_resnet.tasks import TASKS
from keras_resnet.weights.published import is_weights_folder, locate


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("split", "validation", "train, validation or test.", flag_values=options)
    flags.DEFINE_string("checkpoint", "best", "best (by validation), last, or a step.", flag_values=options)
    flags.DEFINE_string("protocol", None, f"{', '.join(_protocols())}; default the task's first.", flag_values=options)
    define_improvement_flags(
        options,
        "multi_scale: shorter sides in pixels; default the paper's 224,256,384,480,640, in proportion. dense: shorter "
        "sides; default those of training. Detectors: sides of the squares that RoI features come from.",
    )
    flags.DEFINE_multi_string(
        "set", [], "group.key=value on top of the run's configuration; repeat for more.", flag_values=options
    )
    flags.DEFINE_string(
        "report",
        None,
        "Folder for tables and plots: results by class, confusion matrix, worst errors.",
        flag_values=options,
    )
    flags.DEFINE_string("strategy", "one_device", "one_device or mirrored.", flag_values=options)
    flags.DEFINE_integer(
        "virtual_devices", 0, "Split the CPU into that many devices.", lower_bound=0, flag_values=options
    )
    define_weights_flags(options)


def main(options, arguments):
    """Prints the metrics of one network or of an ensemble."""
    require_tensorflow_backend()
    if not arguments:
        raise ConfigError("expected the folder of a run, for example: keras-resnet evaluate runs/latest")
    if options.protocol is not None:
        one_of("--protocol", options.protocol, _protocols())
    one_of("--strategy", options.strategy, STRATEGIES[:2])
    scales = scales_of(options)
    check_checkpoint_name(options.checkpoint)
    given = preprocessing_flags(options)
    for path in arguments:  # before TensorFlow is imported, which takes seconds
        check_there(path)

    from rich.console import Console

    from keras_resnet.commands.runs import load_for_evaluation
    from keras_resnet.config import check_strategy
    from keras_resnet.console import tracked
    from keras_resnet.training.strategy import make_strategy

    def track(batches, images, batch_size):
        return tracked(batches, images, Console(stderr=True), "evaluated", batch_size)

    strategy = make_strategy(options.strategy, options.virtual_devices)
    evaluation: Any = None
    names = []
    for path in arguments:
        with strategy.scope():
            run, task = load_for_evaluation(path, options.checkpoint, options.set, given)
        config = task.config
        check_strategy(config, options.strategy, strategy.num_replicas_in_sync)
        one_of("--split", options.split, task.sizes)
        if evaluation is None:
            first = config
            row = TASKS[config.task]
            protocol = row.protocols[0] if options.protocol is None else options.protocol
            one_of("--protocol", protocol, row.protocols)
            _check_improvements(options, row, protocol)
            more = {"refine": options.refine} if row.refines else {}
            evaluation = pkgutil.resolve_name(row.evaluation)(strategy, options.split, protocol, scales, track, **more)
            if len(arguments) > 1 and not evaluation.ensembles:
                raise ConfigError(f"{arguments[1]}: the task {config.task} evaluates one network at a time")
        if config.task != first.task:
            raise ConfigError(f"{path}: is of the task {config.task}, {arguments[0]} of the task {first.task}")
        evaluation.add(task, run.model, path)
        names.append(f"{run.model.name} ({path}" + (")" if run.step is None else f", step {run.step:,})"))
    how = ({"scales": list(scales)} if scales else {}) | ({"refine": True} if options.refine else {})
    _print(names, first.data.name, evaluation.lines(), options.split, options.protocol, how)
    if options.report:
        about = {"networks": names, "data": first.data.name, "split": options.split, "protocol": protocol} | how
        try:
            paths = evaluation.write_report(options.report, about | evaluation.measured())
        except OSError as error:
            raise DiskError(f"--report={options.report}: cannot be written ({error.strerror})") from None
        print("\n".join(f"  {path}" for path in paths))


def check_there(path: str) -> None:
    """Raises a `ConfigError` unless `path` is a run, weights on the disk or a name of published weights."""
    if os.path.isdir(path) and not is_weights_folder(path):
        RunFolder(path).read_config()
        return
    try:
        locate(path)
    except ValueError as error:
        raise ConfigError(f"no run and no weights: {error}") from None


def _protocols():
    """Returns the protocols of all tasks."""
    return list(dict.fromkeys(name for row in TASKS.values() for name in row.protocols))


def _check_improvements(options, row, protocol):
    """Checks that the task has what --refine and --scales ask for."""
    if options.refine and not row.refines:
        raise ConfigError("--refine: is for detectors")
    if options.scales and protocol not in row.scaled_protocols:
        given = "none" if options.protocol is None else f"--protocol={protocol}"
        raise ConfigError(f"--scales: requires --protocol={' or '.join(row.scaled_protocols)}, got {given}")


def _print(names, data, lines, split, protocol, how):
    parts = [f"on {data}", split, *([protocol] if protocol else [])]
    parts += [f"scales {'-'.join(map(str, how['scales']))}"] if "scales" in how else []
    parts += ["refined"] if "refine" in how else []
    for name in names:
        print(name)
    print(", ".join(parts + (["scores averaged"] if len(names) > 1 else [])))
    for line in lines:
        print(f"  {line}")
