"""Links in the documents lead somewhere."""

import re

import numpy as np
import pytest
from conftest import ROOT

DOCUMENTS = [path for path in ROOT.rglob("*.md") if ".venv" not in path.parts and "runs" not in path.parts]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_exist(path):
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.slow
def test_the_first_code_of_the_readme_runs():
    """Every line, in order, with images and labels as its comment says."""
    code = re.search(r"## In your code\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    random = np.random.RandomState(0)
    names = {"images": random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32), "labels": random.randint(0, 10, 4)}
    exec(code, names)
    assert names["pyramid"].output["stage4"].shape[-1] == 2048
    assert names["model"].output_shape == (None, 10)
