"""Trains a network from a recipe. Repeating the command resumes the run, or reports that it is finished.

keras-resnet train --strategy=mirrored
keras-resnet train --config=cifar10/resnet110 --strategy=mirrored --workdir=runs/r110
keras-resnet train --config=my.yaml --set train.seed=1 --set data.name=folder:photos
"""

import glob
import os

from absl import flags

from keras_resnet.commands import entry
from keras_resnet.commands.weights_flags import apply_offline, define_offline
from keras_resnet.config import check_strategy, load_config
from keras_resnet.config.recipes import find_recipe
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.files import is_file
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS
from keras_resnet.task import Metric, metrics_of
from keras_resnet.training.cluster import check_cluster
from keras_resnet.training.signals import leaves_at_once
from keras_resnet.weights.published import locate

DEFAULT_CONFIG = "digits/resnet20"


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "config", DEFAULT_CONFIG, "YAML file, or a recipe of `keras-resnet list --recipes`.", flag_values=options
    )
    flags.DEFINE_multi_string("set", [], "group.key=value on top of the recipe; repeat for more.", flag_values=options)
    flags.DEFINE_string(
        "workdir", None, "The run's folder; default runs/<recipe>-<hash of the configuration>.", flag_values=options
    )
    flags.DEFINE_string("strategy", "one_device", "one_device, mirrored or multi_worker.", flag_values=options)
    flags.DEFINE_integer(
        "virtual_devices", 0, "Split the CPU into that many devices.", lower_bound=0, flag_values=options
    )
    flags.DEFINE_integer("require_gpus", 0, "Fail if there are fewer GPUs.", lower_bound=0, flag_values=options)
    flags.DEFINE_boolean("print_config", False, "Print the configuration with defaults and exit.", flag_values=options)
    define_offline(options)


def main(options, arguments):
    """Trains with the settings of the flags."""
    entry.no_arguments(arguments)
    apply_offline(options)
    train(
        find_recipe(options.config),
        options.set,
        workdir=options.workdir,
        strategy=options.strategy,
        virtual_devices=options.virtual_devices,
        require_gpus=options.require_gpus,
        print_config=options.print_config,
    )


@leaves_at_once()
def train(
    config_path: str,
    assignments: list[str],
    *,
    workdir: str | None = None,
    strategy: str = "one_device",
    virtual_devices: int = 0,
    require_gpus: int = 0,
    print_config: bool = False,
) -> None:
    """Trains or resumes a run; the arguments are the command's flags.

    Raises:
        UserError: the configuration, the folder or the data do not allow training.
    """
    entry.require_tensorflow_backend()
    config = load_config(config_path, assignments, notify=entry.notify)
    check_strategy(config, strategy, virtual_devices)
    if virtual_devices and strategy != "mirrored":
        raise ConfigError(
            f"--virtual_devices={virtual_devices}: requires --strategy=mirrored, got --strategy={strategy}"
        )
    if strategy == "multi_worker":
        check_cluster()
    if workdir:
        RunFolder(workdir).check_free()
    if config.model.weights and not _started(workdir, config_path):
        try:
            locate(config.model.weights, SPECS[config.model.name])
        except ValueError as error:
            raise ConfigError(f"model.weights: {error}") from None
    if print_config:
        print(config.to_yaml(), end="")
        return
    kind, _, path = config.data.name.partition(":")
    if kind == "folder" and not os.path.isdir(path):
        raise DataError(f"data.name: {config.data.name}: no such folder")

    # Importing TensorFlow takes seconds, so the checks above come first.
    from keras_resnet.training.start import train_run

    run = train_run(
        config,
        workdir,
        recipe=config_path,
        strategy=strategy,
        virtual_devices=virtual_devices,
        require_gpus=require_gpus,
    )
    if run.writes:
        _print_finished(run)


def _print_finished(run):
    results, folder, finished = run.results, run.folder, run.already_finished
    best, metrics = results["best"], metrics_of(run.task.config.task)
    print(f"{'Already finished' if finished else 'Finished'}: {results['steps']:,} steps in {results['seconds']:.0f} s")
    print("  validation   " + _text(results["validation"], metrics))
    print(f"  best         {_text(best['validation'], metrics)} at step {best['step']:,}")
    for name, path in (("weights", folder.best_weights), ("curves", folder.curves), ("metrics", folder.metrics)):
        print(f"  {name:<11}  {path}")
    if finished:
        print(f"\nTo train it further: --workdir=NEW --set=model.weights={folder.last_weights}")
    print(f"\nNext: keras-resnet export --workdir={folder.path} --output=exports/{run.task.config.model.name}")


def _started(workdir, config_path):
    """Returns whether a run exists to resume. It has its own weights, so those of model.weights may be missing."""
    if workdir:
        return is_file(RunFolder(workdir).config)
    return bool(glob.glob(RunFolder.default_pattern(config_path)))


def _text(values, metrics):
    return ", ".join(f"{name} {metrics.get(name, Metric()).text(value)}" for name, value in values.items())
