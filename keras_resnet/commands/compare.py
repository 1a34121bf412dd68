"""Tabulates the runs of one or more folders, finished or not, beside published results.

keras-resnet compare runs --csv=results.csv
"""

import json
import os

from absl import flags
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from keras_resnet.commands.entry import write_csv
from keras_resnet.errors import ConfigError
from keras_resnet.paper_results import published
from keras_resnet.runs.checkpoints import committed
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.logs import read_metrics
from keras_resnet.task import metrics_of, monitored, ranks
from keras_resnet.tasks import DEFAULT_TASK

_FIRST = ("run", "network", "data", "schedule", "steps", "batch_size", "seed")
_LAST = ("published", "images_per_second", "seconds", "commit", "state")


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("csv", None, "Also write the table, with all columns, to this file.", flag_values=options)


def main(options, arguments):
    """Prints a row per run, sorted by data, network and best error."""
    if not arguments:
        raise ConfigError("expected folders that hold runs, for example: keras-resnet compare runs")
    rows = sorted((run_row(path) for path in _runs(arguments)), key=_order)
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    if options.csv:
        columns = list(dict.fromkeys(name for task in tasks for name in _columns(task)))
        write_csv(options.csv, [{name: row.get(name) for name in columns} for row in rows], columns)
    for task in tasks:
        _print(task, [row for row in rows if row["task"] == task])


def _runs(roots):
    """Returns the folders with a config.yaml, each once even if links lead to it; does not search inside a run."""
    found: dict[str, str] = {}
    for root in roots:
        if not os.path.isdir(root):
            raise ConfigError(f"{root}: no such folder")
        there = False
        for folder, inside, files in os.walk(root.rstrip(os.sep) or os.sep):
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            if "config.yaml" in files:
                inside.clear()
                there = True
                found.setdefault(os.path.realpath(folder), folder)
        if not there:
            raise ConfigError(f"{root}: contains no run (no folder in it has a config.yaml)")
    return list(found.values())


def _order(row):
    metrics = metrics_of(row["task"])
    first = monitored(metrics)[0]
    rank = metrics[first].rank(row[f"best_{first}"])
    return not row["network"], row["data"], row["network"], rank, row["run"]


def run_row(path: str) -> dict:
    """Returns {column: value} of a run; None or "" for values that it does not have (yet)."""
    folder = RunFolder(path)
    row = dict.fromkeys(_columns(DEFAULT_TASK)) | {"task": DEFAULT_TASK}
    row |= {"run": path, "network": "", "data": "", "published": "", "commit": _commit(folder)}
    try:
        config = folder.read_config()
        row = dict.fromkeys(_columns(config.task)) | row | _described(config)
        row |= _state_and_metrics(folder, row["steps"], metrics_of(config.task))
    except (ConfigError, OSError, ValueError) as error:
        row["state"] = f"damaged: {str(error).replace(path + os.sep, '')}"
    return row


def _described(config):
    train = config.train
    if train.steps is None:
        raise ValueError("config.yaml: train.steps: expected a whole number, as a run's folder has it, got null")
    return {
        "task": config.task,
        "network": config.model.name,
        "data": config.data.name,
        "schedule": train.schedule,
        "steps": train.steps,
        "batch_size": train.batch_size,
        "seed": train.seed,
        "published": ", ".join(_published_error(each) for each in published(config)),
    }


def _published_error(each):
    top5 = "" if each.top5_error is None else f" / {each.top5_error}"
    return f"{each.error}{top5} {each.protocol}"


def _state_and_metrics(folder, steps, metrics):
    """Returns state, metrics and speed from results.json, or state and metrics from the evaluations so far."""
    if os.path.exists(folder.results):
        results = folder.read_results()
        try:
            return {
                "state": "finished",
                "images_per_second": float(results["images_per_second"]),
                "seconds": float(results["seconds"]),
            } | _compared_values(metrics, results["best"]["validation"], results["validation"])
        except (KeyError, TypeError, ValueError):
            raise ValueError("results.json: is not what a finished run writes") from None
    state = {"state": _progress(folder.checkpoints, steps)}
    evaluations = _evaluations(folder.metrics, metrics)
    if not evaluations:
        return state
    best = min(evaluations, key=lambda values: ranks(metrics, values))
    return state | _compared_values(metrics, best, evaluations[-1])


def _compared_values(metrics, best, last):
    first = monitored(metrics)[0]  # what every run has
    return {
        f"{when}_{name}": None if name != first and name not in values else float(values[name])
        for when, values in {"best": best, "last": last}.items()
        for name in _compared(metrics)
    }


def _compared(metrics):
    """Returns the names of the metrics that have columns."""
    return [name for name, metric in metrics.items() if metric.compared or name == monitored(metrics)[0]]


def _columns(task):
    metrics = [f"{when}_{name}" for name in _compared(metrics_of(task)) for when in ("best", "last")]
    return [*_FIRST, *metrics, *_LAST]


def _progress(checkpoints, steps):
    """Returns the progress of a run as text."""
    done = committed(checkpoints)
    return f"step {done[0][0]:,} of {steps:,}" if done else "not started"


def _evaluations(path, metrics):
    """Returns the validation metrics in metrics.jsonl, in order."""
    evaluations = [{k.removeprefix("validation/"): v for k, v in line.items()} for line in read_metrics(path)]
    return [each for each in evaluations if monitored(metrics)[0] in each]


def _commit(folder):
    try:
        with open(folder.environment, encoding="utf-8") as file:
            return (json.load(file)["commit"] or "")[:8]
    except (OSError, ValueError, KeyError, TypeError):  # the commit is optional
        return ""


def _recipe(row):
    if row["steps"] is None:
        return ""
    return f"{row['schedule']}, {row['steps']:,} steps of {row['batch_size']}, seed {row['seed']}"


def _values(row, when, metrics):
    values = {name: row[f"{when}_{name}"] for name in _compared(metrics)}
    return " / ".join(metrics[name].text(value).split()[0] for name, value in values.items() if value is not None)


def _number(row, name):
    return "" if row[name] is None else f"{row[name]:,.0f}"


def _shown(metrics):
    """Returns {heading: function from a run's row to the cell's text}."""
    first = _title(monitored(metrics)[0], metrics)
    return {
        "run": lambda row: row["run"],
        "network": lambda row: row["network"],
        "data": lambda row: row["data"],
        "recipe": _recipe,
        f"{first} best": lambda row: _values(row, "best", metrics),
        f"{first} last": lambda row: _values(row, "last", metrics),
        "published": lambda row: row["published"],
        "images/s": lambda row: _number(row, "images_per_second"),
        "seconds": lambda row: _number(row, "seconds"),
        "commit": lambda row: row["commit"],
        "state": lambda row: row["state"],  # last, since a description of damage is long
    }


def _title(name, metrics):
    return metrics[name].short or name.replace("_", " ")


def _print(task, rows):
    metrics = metrics_of(task)
    shown = _shown(metrics)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in shown:
        number = heading.endswith((" best", " last")) or heading in ("images/s", "seconds")
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*[Text(cell(row)) for cell in shown.values()])
    console = Console(width=10**6)  # users copy names, so they are never truncated
    console.width = Measurement.get(console, console.options, table).maximum
    console.print(table)
    names = " / ".join(f"{_title(name, metrics)}{' in %' * (metrics[name].unit == '%')}" for name in _compared(metrics))
    print(f"\nOf the validation images: {names}.")
