"""Writes the pages of findings (Markdown, with tables as CSV and plots as PNG) and the report over all pages.

Checks are claims that measured values can refute. A comparison of networks that learned nothing has no meaning. Every
comparison of errors therefore also requires that the better side's error is less than half of the error of chance, so
none holds at a learning rate of 0.
"""

import contextlib
import functools
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from matplotlib.figure import Figure

from keras_resnet.errors import DiskError
from keras_resnet.files import csv_table, make_folder, write_atomically
from keras_resnet.reports import markdown_table
from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.plots import png


@dataclass(frozen=True)
class Check:
    """Attributes: claim, a sentence; holds, whether it is true; values, the numbers that decide it."""

    claim: str
    holds: bool
    values: str


def check_lower(claim: str, low: Sequence[float], high: Sequence[float], chance: float) -> Check:
    """Checks that `low` is below `high` for every seed.

    With five seeds, equally good networks pass once in 32 times.

    Args:
        claim: the statement.
        low, high: errors in percent, one pair per seed.
        chance: error of chance, in percent.
    """
    holds = bool(np.less(low, high).all()) and _learnt(low, chance)
    pairs = int(np.less(low, high).sum())
    return Check(claim, holds, f"{_mean(low)} below {_mean(high)} for {pairs} of {len(low)} seeds{_note(low, chance)}")


def check_no_worse(
    claim: str, first: Sequence[float], second: Sequence[float], margin: float, chance: float, both: bool = False
) -> Check:
    """Checks that the mean of `first` is at most `margin` percentage points above the mean of `second`.

    `both` requires that `second` has learned too, so its failure to learn does not confirm the claim.
    """
    excess = float(np.mean(first) - np.mean(second))
    worse = max(first, second, key=np.mean) if both else first
    holds = excess <= margin and _learnt(worse, chance)
    text = f"{_mean(first)} against {_mean(second)}: {excess:+.2f} points, allowed {margin:+.2f}{_note(worse, chance)}"
    return Check(claim, holds, text)


def ends_alike(claim: str, first: Sequence[float], second: Sequence[float], margin: float, chance: float) -> Check:
    """Checks that the means differ by at most `margin` percentage points."""
    apart = abs(float(np.mean(first) - np.mean(second)))
    better = min(first, second, key=np.mean)
    text = f"{_mean(first)} and {_mean(second)}: {apart:.2f} points apart, allowed {margin:.2f}{_note(better, chance)}"
    return Check(claim, apart <= margin and _learnt(better, chance), text)


def agrees(claim: str, ours: float, published: float, digits: int, unit: str = "") -> Check:
    """Checks that `ours` and `published`, which is rounded or cut to `digits`, differ by less than the last digit."""
    holds = abs(ours - published) < 10**-digits
    return Check(claim, holds, f"{ours:.{digits + 2}f}{unit} against {published:.{digits}f}{unit}")


def check_within(claim: str, ours: float, published: float, share: float, unit: str = "") -> Check:
    """Checks that `ours` differs from `published` by at most `share` of it."""
    off = ours / published - 1
    text = f"{ours:.4g}{unit} against {published:g}{unit}: {off:+.1%}, allowed {share:.0%}"
    return Check(claim, abs(off) <= share, text)


def _learnt(errors, chance):
    return float(np.mean(errors)) < chance / 2


def _note(errors, chance):
    return "" if _learnt(errors, chance) else "; nothing was learned that could be compared"


def _mean(errors):
    spread = f" ± {np.std(errors, ddof=1):.2f}" if len(errors) > 1 else ""
    return f"{np.mean(errors):.2f} %{spread}"


Row = dict[str, object]


@dataclass(frozen=True)
class Table:
    """Rows with the same keys, which are the columns: plain names with units, such as "test error (%)".

    Attributes:
        name: last part of the CSV file's name, after the page's name; empty for a page's only table.
        caption: description of the rows.
        rows: the rows; None stands for a missing value.
        listed: whether the page shows the table too, not only the CSV file.
    """

    name: str
    caption: str
    rows: list[Row]
    listed: bool = True


@dataclass(frozen=True)
class Plot:
    """Attributes: name, last part of the PNG file's name, after the page's; caption, a description; figure."""

    name: str
    caption: str
    figure: Figure


@dataclass
class ReportPage:
    """The page of one finding, whose jobs are done.

    Attributes:
        name: of the files: "degradation" for degradation.md, degradation.csv, degradation-curves.png.
        title: with the paper's figure or section.
        text: Markdown: the question, the protocol, and the differences from the paper.
        tables, plots, checks: the findings.
        seeds: seeds of the trained networks; empty if none was trained.
    """

    name: str
    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    seeds: tuple[int, ...] = ()


def claim_output(folder: str) -> None:
    """Creates the folder of the pages, so that an error shows before hours of training.

    Raises:
        DiskError: the folder cannot be created.
    """
    with _disk_errors(folder):
        make_folder(folder)


def write_page(page: ReportPage, experiment: Experiment, folder: str) -> list[str]:
    """Writes a page with its tables and plots; returns the paths.

    Raises:
        DiskError: the folder cannot be written.
    """
    lines = [f"# {page.title}", "", page.text.strip(), ""]
    lines += checks_table(page.checks)
    files = {}
    for picture in page.plots:
        name = _file(page, picture.name, "png")
        files[name] = png(picture.figure)
        lines += [f"![{picture.caption}]({name})", "", f"*{picture.caption}*", ""]
    for table in page.tables:
        name = _file(page, table.name, "csv")
        files[name] = csv_table(table.rows)
        lines += [f"{table.caption} ([CSV]({name}))", "", *(markdown_table(table.rows) if table.listed else []), ""]
    lines += made_by(experiment, page.seeds)
    files[f"{page.name}.md"] = "\n".join(lines).encode()
    return _write(folder, files)


def write_report(pages: list[ReportPage], experiment: Experiment, folder: str) -> str:
    """Writes README.md, which links the pages and lists every check with its result; returns its path."""
    held = sum(check.holds for page in pages for check in page.checks)
    total = sum(len(page.checks) for page in pages)
    lines = [
        "# The paper's evidence, reproduced",
        "",
        'The findings of "Deep Residual Learning for Image Recognition" (He et al. 2015), each as a command, a picture '
        "and a table. "
        f"**{held} of {total} checks hold.** A check that does not hold is reported so, and makes the command's exit "
        "code 1.",
        "",
    ]
    for page in pages:
        lines += [f"## [{page.title}]({page.name}.md)", ""]
        if page.plots:
            lines += [
                f"[![{page.plots[0].caption}]({_file(page, page.plots[0].name, 'png')})]({page.name}.md)",
                "",
            ]
        lines += checks_table(page.checks)
    lines += made_by(experiment, max((page.seeds for page in pages), key=len, default=()))
    return _write(folder, {"README.md": "\n".join(lines).encode()})[0]


def checks_table(checks: list[Check]) -> list[str]:
    """Returns Markdown lines with each claim, whether it holds, and the values that decide it."""
    if not checks:
        return []
    rows: list[Row] = [
        {"check": check.claim, "holds": "yes" if check.holds else "**no**", "values": check.values} for check in checks
    ]
    return [*markdown_table(rows), ""]


def made_by(experiment: Experiment, seeds: tuple[int, ...]) -> list[str]:
    """Returns Markdown lines with the command, recipe, seeds, code version and machine."""
    from keras_resnet import __version__

    over = ", also where the text above says otherwise" if experiment.assignments else ""
    rows = {
        "command": f"`{shlex.join(['keras-resnet', 'reproduce', *sys.argv[2:]])}`",
        "recipe": f"`{experiment.config}`" + "".join(f", `--set {each}`" for each in experiment.assignments) + over,
        "seeds": ", ".join(map(str, seeds)) or "none: nothing was trained",
        "code": f"{__version__}, commit {_commit()}; TensorFlow {version('tensorflow')}, "
        f"Keras {version('keras')}, Python {platform.python_version()}",
        "machine": f"{os.cpu_count()} CPU cores ({_processor()}), {platform.system()}",
    }
    return ["---", "", *[f"- {name}: {value}" for name, value in rows.items()], ""]


@functools.cache  # read once, before pages written to the repository can make it dirty
def _commit():
    folder = os.path.dirname(os.path.abspath(__file__))
    git = subprocess.run(
        ["git", "-C", folder, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or "unknown"


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _file(page, name, ending):
    return f"{page.name}-{name}.{ending}" if name else f"{page.name}.{ending}"


def _write(folder, files):
    paths = {os.path.join(folder, name): content for name, content in files.items()}
    with _disk_errors(folder):
        make_folder(folder)
        for path, content in paths.items():
            write_atomically(path, content)
    return list(paths)


@contextlib.contextmanager
def _disk_errors(folder):
    try:
        yield
    except OSError as error:
        raise DiskError(f"--output={folder}: cannot be written ({error.strerror})") from None
