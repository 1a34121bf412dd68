"""Registers the paper's findings by name. Each module defines `jobs(experiment)` and `page(experiment)`."""

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from keras_resnet.reproduce.experiment import Experiment, Job

if TYPE_CHECKING:  # imports Matplotlib
    from keras_resnet.reproduce.report_page import ReportPage

# name -> (module in keras_resnet.reproduce, line of the command's help), in the order of the report
FINDINGS = {
    "complexity": ("costs_of_networks", "Tables 1 and 6: layers, parameters, MACs, beside the paper's."),
    "degradation": (
        "degradation",
        "Figures 1, 4, 6: deeper plain networks train worse, deeper residual networks do not.",
    ),
    "gradients": ("gradients", "Vanishing and exploding signals: depth, initialization, normalization, shortcuts."),
    "batchnorm": ("batchnorm", "Batch normalization: statistics, drift, 1, 5 and 30 times the rate."),
    "responses": ("responses_by_depth", "Figure 7: how strongly layers respond."),
    "shortcuts": ("shortcuts", "Table 3: options A, B and C."),
    "highway": ("highway", "Highway, residual and plain networks; what the gates do."),
    "detection": ("detection", "Tables 7 to 9: residual and plain trunks, C4 and FPN, improvements in testing."),
    "localization": ("localization", "Appendix C: a region proposal network for each class, dense, R-CNN."),
    "bottleneck": ("bottleneck", "Basic and bottleneck blocks at equal cost; 1202 layers."),
}


class Finding(Protocol):
    """Interface of a finding's module."""

    def jobs(self, experiment: Experiment) -> Iterable[Job]:
        """Returns the runs and measurements that the page needs."""

    def page(self, experiment: Experiment) -> "ReportPage":
        """Returns the report page; requires that all jobs are done."""


def load_finding(name: str) -> Finding:
    """Imports the module of a finding."""
    return importlib.import_module(f"keras_resnet.reproduce.{FINDINGS[name][0]}")  # type: ignore[return-value]
