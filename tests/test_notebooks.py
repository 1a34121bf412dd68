"""The notebooks run from top to bottom, and are committed with their outputs."""

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


def test_notebook_is_committed_with_outputs_in_order(notebook):
    """Cells ran in order and without errors; images are small."""
    nbformat.validate(notebook)
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output.output_type in ("stream", "display_data") for cell in cells for output in cell.outputs)
    assert sum(len(pictures(cell)) for cell in cells) >= 3
    assert len(nbformat.writes(notebook)) < 300_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_notebook_runs_with_the_same_kinds_of_output(notebook):
    """Every cell and its assertions run in a kernel of this Python; the same cells print and plot."""
    from nbclient import NotebookClient

    before = [(bool(pictures(cell)), bool(cell.outputs)) for cell in code_of(notebook)]
    client = NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": ROOT / "docs" / "notebooks"}})
    client.execute()
    after = [(bool(pictures(cell)), bool(cell.outputs)) for cell in code_of(notebook)]
    assert after == before


def test_notebooks_exist():
    assert NOTEBOOKS
