"""Suggests a learning rate and a batch size for a recipe, by training a few steps.

    keras-resnet tune digits/resnet20
    keras-resnet tune my.yaml --set data.name=folder:photos --for=batch_size,learning_rate --strategy=mirrored

The argument is a recipe, a configuration file or the folder of a run. The learning rate grows in every step (Smith
2017); the suggestion is a tenth of the rate at which the loss is lowest. Batch sizes are timed each in a process of its
own; the suggestion is the smallest with 95 % of the highest speed. A batch size is found first, and the learning rate
is that for it. The training leaves nothing else.
"""

import math
import os
import shlex
import sys

from absl import flags

from keras_resnet.commands import entry
from keras_resnet.commands.weights_flags import apply_offline, define_offline
from keras_resnet.config import check_strategy, load_config
from keras_resnet.config.loading import changed
from keras_resnet.config.recipes import find_recipe
from keras_resnet.errors import CheckError, ConfigError
from keras_resnet.runs.folder import RunFolder

GOALS = ("learning_rate", "batch_size")


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_list("for", ["learning_rate"], "learning_rate, batch_size or both.", flag_values=options)
    flags.DEFINE_multi_string("set", [], "group.key=value, as for training; repeat for more.", flag_values=options)
    flags.DEFINE_string("strategy", "one_device", "one_device or mirrored.", flag_values=options)
    flags.DEFINE_integer(
        "virtual_devices", 0, "Split the CPU into that many devices.", lower_bound=0, flag_values=options
    )
    flags.DEFINE_string("output", "tuning", "Folder of the plots and tables.", flag_values=options)
    flags.DEFINE_integer("steps", 200, "Steps with a growing learning rate.", lower_bound=20, flag_values=options)
    flags.DEFINE_list("rates", ["1e-5", "10"], "First and last learning rate.", flag_values=options)
    flags.DEFINE_list(
        "batch_sizes",
        [],
        "Growing batch sizes; default 8, 16, ... 1024, with at least 16 steps an epoch.",
        flag_values=options,
    )
    define_offline(options)


def main(options, arguments):
    """Prints what was measured, and the command with the suggestions."""
    entry.require_tensorflow_backend()
    apply_offline(options)
    if len(arguments) != 1:
        raise ConfigError("expected one recipe, file or run, for example: keras-resnet tune digits/resnet20")
    goals = _goals(options["for"].value)
    first, last = _rates(options.rates)
    config = load_config(_file(arguments[0]), options.set, notify=entry.notify)
    strategy, virtual_devices = options.strategy, options.virtual_devices
    check_strategy(config, strategy, virtual_devices)
    if strategy == "multi_worker":
        raise ConfigError("--strategy=multi_worker: tune runs on one machine; use one_device or mirrored")
    if virtual_devices and strategy != "mirrored":
        raise ConfigError(
            f"--virtual_devices={virtual_devices}: requires --strategy=mirrored, got --strategy={strategy}"
        )
    sizes = _batch_sizes(options.batch_sizes, virtual_devices)
    try:
        os.makedirs(options.output, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output={options.output}: cannot be written ({error.strerror})") from None

    title = f"{config.model.name} on {config.data.name}"
    print(f"Tuning {title}")
    found = []
    if "batch_size" in goals:
        size = _tune_batch_size(config, sizes, strategy, virtual_devices, options.output, title)
        config = changed(config, [f"train.batch_size={size}"])
        found.append(f"train.batch_size={size}")
    if "learning_rate" in goals:
        rate = _tune_learning_rate(
            config, options.steps, (first, last), strategy, virtual_devices, options.output, title
        )
        found.append(f"train.learning_rate={rate:g}")
        if config.train.base_batch_size:  # the rate is for this batch size
            found.append("train.base_batch_size=null")
    flag = [] if strategy == "one_device" else [f"--strategy={strategy}"]
    assignments = [part for each in (*options.set, *found) for part in ("--set", each)]
    print(f"\nNext: {shlex.join(['keras-resnet', 'train', f'--config={_named(arguments[0])}', *flag, *assignments])}")


def _file(name):
    """Returns the configuration file of a recipe's or file's name, or of a run's folder."""
    return find_recipe(_named(name))


def _named(name):
    return RunFolder(name).config if os.path.isdir(name) else name


def _goals(names):
    for name in names:
        entry.one_of("--for", name, GOALS)
    if not names:
        raise ConfigError(f"--for: expected {' or '.join(GOALS)}, or both")
    return names


def _rates(values):
    try:
        first, last = map(float, values)
    except ValueError:
        first = last = math.nan
    if not 0 < first < last < math.inf:
        raise ConfigError(f"--rates={','.join(values)}: expected two growing numbers > 0, such as 1e-5,10")
    return first, last


def _batch_sizes(values, virtual_devices):
    """Returns the growing batch sizes; [] for the default ones, which depend on the data."""
    if not all(value.isdecimal() and int(value) > 0 for value in values):
        raise ConfigError(f"--batch_sizes={','.join(values)}: expected whole numbers > 0, such as 32,64")
    sizes = sorted(set(map(int, values)))
    for size in sizes:
        if virtual_devices and size % virtual_devices:
            raise ConfigError(f"--batch_sizes: {size} does not divide over {virtual_devices} replicas")
    return sizes


def _tune_batch_size(config, sizes, strategy, virtual_devices, output, title):
    from keras_resnet.tuning.batch_size import batch_size_rows, suggested_batch_size
    from keras_resnet.tuning.plots import draw_batch_size

    print("  each batch size in a process of its own, which takes about half a minute")
    print("  batch size  images/s  memory", flush=True)
    rows = []
    for row in batch_size_rows(config, sizes, strategy, virtual_devices):
        rows.append(row)
        memory = f"{row.memory / 1e9:.2f} GB" if row.memory else ""
        speed = (
            ""
            if row.images_per_second is None
            else f"{row.images_per_second:,.{1 if row.images_per_second < 100 else 0}f}"
        )
        print(f"  {row.batch_size:>10,}  {speed or row.problem:>8}  {memory}".rstrip(), flush=True)
    columns = ("batch_size", "images_per_second", "memory", "problem")
    table = os.path.join(output, "batch_size.csv")
    entry.write_csv(table, [{name: getattr(row, name) for name in columns} for row in rows], columns)
    size = suggested_batch_size(rows)
    if size is None:
        raise CheckError(f"train.batch_size: not even {rows[0].batch_size}: {rows[0].problem}")
    draw_batch_size(os.path.join(output, "batch_size.png"), rows, size, title)
    print(f"  suggestion  {size}, the smallest with 95 % of the highest speed")
    print(f"  plot        {os.path.join(output, 'batch_size.png')}, {table}")
    return size


def _tune_learning_rate(config, steps, rates, strategy, virtual_devices, output, title):
    from rich.console import Console

    from keras_resnet.console import tracked
    from keras_resnet.task import load_task
    from keras_resnet.training.start import filled_in_from_weights
    from keras_resnet.training.strategy import make_strategy
    from keras_resnet.tuning.learning_rate import growing_rates, range_config, range_test
    from keras_resnet.tuning.plots import draw_learning_rate

    devices = make_strategy(strategy, virtual_devices)
    check_strategy(config, strategy, devices.num_replicas_in_sync)
    task = load_task(range_config(config, steps))
    task.config = filled_in_from_weights(task.config, task.labels)
    batch_size = task.config.train.batch_size

    def track(batches):
        console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        return tracked(batches, steps * batch_size, console, "learning rate", batch_size)

    test = range_test(task, devices, growing_rates(rates[0], rates[1], steps), track)
    if not test.rates:
        raise CheckError(f"--rates={rates[0]:g},{rates[1]:g}: the loss is not finite at the first rate")
    table = os.path.join(output, "learning_rate.csv")
    columns = zip(test.rates, test.losses, test.averages, strict=True)
    entry.write_csv(
        table,
        [{"learning_rate": rate, "loss": loss, "average": average} for rate, loss, average in columns],
        ("learning_rate", "loss", "average"),
    )
    plot = os.path.join(output, "learning_rate.png")
    draw_learning_rate(plot, test, title)
    if test.suggestion is None:
        raise CheckError(
            f"train.learning_rate: the loss did not decrease at any of the {len(test.rates)} learning rates; see "
            f"{plot}, or try more --steps"
        )
    lowest = test.rates[test.averages.index(min(test.averages))]
    print(
        f"  learning rate  {test.suggestion:g}, a tenth of that of the lowest loss, {lowest:.2g} (batch {batch_size})"
    )
    print(f"  plot           {plot}, {table}")
    return test.suggestion
