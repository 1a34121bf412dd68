"""Reproduces findings of the paper: trains or reuses the runs, and writes a page with plots, tables and checks.

    keras-resnet reproduce degradation
    keras-resnet reproduce all --output=docs/evidence
    keras-resnet reproduce degradation --config=cifar10/paper

FINDING is one of the names below, or all, which writes one report over all of them. Repeating the command resumes it,
or only writes the report if all runs are complete. The exit code is 1 if a check does not hold.
"""

import os

from absl import flags

from keras_resnet.commands.entry import notify, require_tensorflow_backend
from keras_resnet.config import load_config
from keras_resnet.config.recipes import find_recipe
from keras_resnet.errors import ConfigError, suggest
from keras_resnet.reproduce.experiment import Experiment, Training
from keras_resnet.reproduce.findings import FINDINGS, load_finding
from keras_resnet.reproduce.runner import make
from keras_resnet.specs import CIFAR_DEPTHS

__doc__ += "\n" + "\n".join(f"  {name:<12} {text}" for name, (_, text) in FINDINGS.items())

DEFAULT_CONFIG = "evidence/digits"


OWN = {"model.name": "--depths chooses the networks", "train.seed": "--seeds chooses them"}


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "config",
        DEFAULT_CONFIG,
        "The recipe of all networks, except for those that have a file of their name in its folder.",
        flag_values=options,
    )
    flags.DEFINE_multi_string("set", [], "group.key=value on top of every run; repeat for more.", flag_values=options)
    flags.DEFINE_string(
        "workdir", "runs/evidence", "Folder of the runs, which all findings share.", flag_values=options
    )
    flags.DEFINE_string("output", None, "Folder of the pages; default report/ in the workdir.", flag_values=options)
    flags.DEFINE_list("depths", list(map(str, CIFAR_DEPTHS)), "Layers of the networks.", flag_values=options)
    flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Seeds of every network.", flag_values=options)
    flags.DEFINE_integer(
        "processes",
        2,
        "Number of concurrent runs, which share the cores; 1 on a GPU.",
        lower_bound=1,
        flag_values=options,
    )


def main(options, arguments):
    """Reproduces one finding or all of them; returns 1 if a check does not hold."""
    require_tensorflow_backend()
    names = _names(arguments)
    config, assignments = find_recipe(options.config), _assignments(options.set)
    load_config(config, assignments, notify)
    experiment = Experiment(
        config, options.workdir, assignments, _depths(options.depths), _whole("seeds", options.seeds)
    )
    experiment.config_of(Training("cifar_resnet20"))  # raises errors of the recipe now
    findings = {name: load_finding(name) for name in names}

    from keras_resnet.reproduce.report_page import claim_output, write_page, write_report  # imports Matplotlib

    if options.output:
        claim_output(options.output)
    make(experiment, [job for finding in findings.values() for job in finding.jobs(experiment)], options.processes)
    folder, pages = options.output or os.path.join(options.workdir, "report"), []
    for finding in findings.values():
        pages.append(finding.page(experiment))
        path = next(path for path in write_page(pages[-1], experiment, folder) if path.endswith(".md"))
        _print(pages[-1], path)
    if arguments == ["all"]:
        print(f"\nreport  {write_report(pages, experiment, folder)}")
    return int(not all(check.holds for page in pages for check in page.checks))


def _print(page, path):
    print(f"\n{page.title}\n  {path}")
    for check in page.checks:
        print(f"  {'holds         ' if check.holds else 'DOES NOT HOLD '}  {check.claim}: {check.values}")


def _names(positional):
    if len(positional) != 1:
        raise ConfigError(f"expected one finding: {', '.join(FINDINGS)}, or all")
    (name,) = positional
    if name not in (*FINDINGS, "all"):
        raise ConfigError(f'unknown finding "{name}"; {suggest(name, (*FINDINGS, "all"))}')
    return list(FINDINGS) if name == "all" else [name]


def _assignments(assignments):
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        if key in OWN:
            raise ConfigError(f"--set={assignment}: every run has its own {key} here; {OWN[key]}")
    return tuple(assignments)


def _depths(values):
    depths = _whole("depths", values)
    if set(depths) - set(CIFAR_DEPTHS) or depths != tuple(sorted(depths)):
        raise ConfigError(f"--depths={','.join(values)}: expected increasing numbers of {CIFAR_DEPTHS}")
    return depths


def _whole(flag, values):
    if not values or not all(value.isdecimal() for value in values) or len(set(map(int, values))) < len(values):
        raise ConfigError(f"--{flag}={','.join(values)}: expected different whole numbers, such as 0,1,2")
    return tuple(map(int, values))
