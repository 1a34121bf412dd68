"""Links in the documents lead somewhere."""

import re

import pytest
from conftest import ROOT

DOCUMENTS = [path for path in ROOT.rglob("*.md") if ".venv" not in path.parts and "runs" not in path.parts]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_exist(path):
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
