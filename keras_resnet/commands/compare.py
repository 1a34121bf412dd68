"""Tabulates the runs of one or more folders, finished or not, beside published results.

keras-resnet compare runs --csv=results.csv
"""

import json
import math
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
from keras_resnet.task import metrics_of, monitored

TASK = "classification"  # whose metrics in percent are columns
_FIRST = ("run", "network", "data", "schedule", "steps", "batch_size", "seed")
_LAST = ("published", "images_per_second", "seconds", "commit", "state")
# heading -> function from a run's row to the cell's text
SHOWN = {
    "run": lambda row: row["run"],
    "network": lambda row: row["network"],
    "data": lambda row: row["data"],
    "recipe": lambda row: _recipe(row),
    "error best": lambda row: _percent(row, "best"),
    "error last": lambda row: _percent(row, "last"),
    "published": lambda row: row["published"],
    "images/s": lambda row: _number(row, "images_per_second"),
    "seconds": lambda row: _number(row, "seconds"),
    "commit": lambda row: row["commit"],
    "state": lambda row: row["state"],  # last, since a description of damage is long
}
NUMBERS = ("error best", "error last", "images/s", "seconds")


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("csv", None, "A file to write the table to as well, with every column.", flag_values=options)


def main(options, arguments):
    """Prints a row per run, sorted by data, network and best error."""
    if not arguments:
        raise ConfigError("expected folders that hold runs, for example: keras-resnet compare runs")
    rows = sorted((run_row(path) for path in _runs(arguments)), key=_order)
    if options.csv:
        write_csv(options.csv, rows, _columns())
    _print(rows)


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
    error = row[f"best_{monitored(metrics_of(TASK))[0]}"]
    return not row["network"], row["data"], row["network"], math.inf if error is None else error, row["run"]


def run_row(path: str) -> dict:
    """Returns {column: value} of a run; None or "" for values that it does not have (yet)."""
    folder = RunFolder(path)
    row = dict.fromkeys(_columns())
    row |= {"run": path, "network": "", "data": "", "published": "", "commit": _commit(folder)}
    try:
        row |= _described(folder.read_config())
        row |= _figures(folder, row["steps"])
    except (ConfigError, OSError, ValueError) as error:
        row["state"] = f"damaged: {str(error).replace(path + os.sep, '')}"
    return row


def _described(config):
    train = config.train
    if train.steps is None:
        raise ValueError("config.yaml: train.steps: expected a whole number, as a run's folder has it, got null")
    return {
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


def _figures(folder, steps):
    """Returns state, errors and speed from results.json, or state and errors from the evaluations so far."""
    if os.path.exists(folder.results):
        results = folder.read_results()
        try:
            return {
                "state": "finished",
                "images_per_second": float(results["images_per_second"]),
                "seconds": float(results["seconds"]),
            } | _errors(results["best"]["validation"], results["validation"])
        except (KeyError, TypeError, ValueError):
            raise ValueError("results.json: is not what a finished run writes") from None
    state = {"state": _progress(folder.checkpoints, steps)}
    evaluations = _evaluations(folder.metrics)
    if not evaluations:
        return state
    first, *others = monitored(metrics_of(TASK))
    best = min(evaluations, key=lambda figures: (figures[first], *(figures.get(name, math.inf) for name in others)))
    return state | _errors(best, evaluations[-1])


def _errors(best, last):
    first = monitored(metrics_of(TASK))[0]  # what every run has
    return {
        f"{when}_{name}": None if name != first and name not in figures else float(figures[name])
        for when, figures in {"best": best, "last": last}.items()
        for name in _compared()
    }


def _compared():
    """Returns the names of the metrics in percent."""
    return [name for name, metric in metrics_of(TASK).items() if metric.percent]


def _columns():
    metrics = [f"{when}_{name}" for name in _compared() for when in ("best", "last")]
    return [*_FIRST, *metrics, *_LAST]


def _progress(checkpoints, steps):
    """Returns the progress of a run as text."""
    done = committed(checkpoints)
    return f"step {done[0][0]:,} of {steps:,}" if done else "not started"


def _evaluations(path):
    """Returns the validation metrics in metrics.jsonl, in order."""
    figures = [{k.removeprefix("validation/"): v for k, v in line.items()} for line in read_metrics(path)]
    return [each for each in figures if monitored(metrics_of(TASK))[0] in each]


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


def _percent(row, when):
    values = [row[f"{when}_{name}"] for name in _compared()]
    return " / ".join(f"{value:.2f}" for value in values if value is not None)


def _number(row, name):
    return "" if row[name] is None else f"{row[name]:,.0f}"


def _print(rows):
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in SHOWN:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*[Text(cell(row)) for cell in SHOWN.values()])
    console = Console(width=10**6)  # users copy names, so they are never truncated
    console.width = Measurement.get(console, console.options, table).maximum
    console.print(table)
    names = " / ".join(name.replace("_", " ") for name in _compared())
    print(f"\nErrors are of the validation images, in percent: {names}.")
