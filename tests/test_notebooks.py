"""The notebooks run from top to bottom, and are committed with what they put out."""

import nbformat
import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cell):
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


def test_it_is_committed_with_its_outputs(notebook):
    """In the order in which it ran, without errors; pictures small."""
    nbformat.validate(notebook)
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output.output_type in ("stream", "display_data") for cell in cells for output in cell.outputs)
    assert sum(len(pictures(cell)) for cell in cells) >= 3
    assert len(nbformat.writes(notebook)) < 300_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_runs(notebook):
    """Every cell, its assertions too, in a kernel of this Python; the same cells print and draw."""
    from nbclient import NotebookClient

    before = [(bool(pictures(cell)), bool(cell.outputs)) for cell in code_of(notebook)]
    client = NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": ROOT / "docs" / "notebooks"}})
    client.execute()
    after = [(bool(pictures(cell)), bool(cell.outputs)) for cell in code_of(notebook)]
    assert after == before


def test_there_are_some():
    assert NOTEBOOKS
