"""The analyses by name. Each is a module with `jobs(study)`, what has to be there, and `page(study)`, what it shows."""

import importlib
from collections.abc import Iterable
from typing import Protocol

from keras_resnet.analysis.page import Page
from keras_resnet.analysis.study import Job, Study

# In the order of the report; module below keras_resnet.analysis, and what the command's help says of it.
ANALYSES = {
    "complexity": ("costs_of_networks", "Tables 1 and 6: layers, parameters, multiply-adds, beside the paper's."),
    "degradation": ("degradation", "Figures 1, 4, 6: deeper plain nets train worse, deeper residual nets do not."),
    "gradients": ("gradients", "Vanishing and exploding signals: depth, initialization, normalization, shortcuts."),
    "batchnorm": ("batchnorm", "Batch normalization: statistics, drift, 1, 5 and 30 times the rate."),
    "responses": ("responses_by_depth", "Figure 7: how strongly layers respond."),
    "shortcuts": ("shortcuts", "Table 3: options A, B and C."),
    "highway": ("highway", "Highway, residual and plain nets; what the gates do."),
    "bottleneck": ("bottleneck", "Basic and bottleneck blocks at equal cost; 1202 layers."),
}


class Analysis(Protocol):
    """What each of those modules has."""

    def jobs(self, study: Study) -> Iterable[Job]:
        """Runs and measurements that the page needs."""

    def page(self, study: Study) -> Page:
        """The findings, once all jobs are done."""


def load_analysis(name: str) -> Analysis:
    """The module of an analysis."""
    return importlib.import_module(f"keras_resnet.analysis.{ANALYSES[name][0]}")  # type: ignore[return-value]
