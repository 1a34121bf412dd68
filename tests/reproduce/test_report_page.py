"""Tests report pages, tables and the report that links them."""

import csv

from keras_resnet.reports import markdown_table
from keras_resnet.reproduce.experiment import Experiment
from keras_resnet.reproduce.plots import new_figure
from keras_resnet.reproduce.report_page import Check, Plot, ReportPage, Table, write_page, write_report

ROWS = [{"network": "plain20", "error (%)": 12.5, "seeds": 5}, {"network": "plain56", "error (%)": None, "seeds": 1200}]


def test_markdown_table_aligns_numbers_right():
    assert markdown_table(ROWS) == [
        "| network | error (%) | seeds |",
        "|---|---:|---:|",
        "| plain20 | 12.50 | 5 |",
        "| plain56 |  | 1,200 |",
    ]


def test_write_page_and_write_report_files(tmp_path):
    figure, _ = new_figure()
    checks = [Check("deeper is worse", True, "1 below 2"), Check("residual is better", False, "3 below 2")]
    page = ReportPage(
        "degradation", "Degradation", "Why?", [Table("", "Errors", ROWS)], [Plot("curves", "Curves", figure)]
    )
    page.checks, page.seeds = checks, (0, 1)
    experiment = Experiment("configs/evidence/digits.yaml", "runs", ("train.steps=3",))
    write_page(page, experiment, str(tmp_path))
    write_report([page, ReportPage("complexity", "Complexity", "What?")], experiment, str(tmp_path))
    text = (tmp_path / "degradation.md").read_text()
    assert "| deeper is worse | yes | 1 below 2 |" in text
    assert "| residual is better | **no** | 3 below 2 |" in text
    assert "![Curves](degradation-curves.png)" in text
    assert (tmp_path / "degradation-curves.png").read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / "degradation.csv", encoding="utf-8", newline="") as file:
        assert [row["error (%)"] for row in csv.DictReader(file)] == ["12.5", ""]
    report = (tmp_path / "README.md").read_text()
    assert "**1 of 2 checks hold.**" in report
    assert "[Degradation](degradation.md)" in report
    assert "[Complexity](complexity.md)" in report
    assert "- seeds: 0, 1" in report
    assert "`--set train.steps=3`" in report
