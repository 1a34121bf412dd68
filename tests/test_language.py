"""The words of docs/style.md: retired names and spellings are nowhere but where they are explained."""

import re

import pytest
from conftest import ROOT

from keras_resnet.renamed import COMMANDS, COMPLEXITY, CONFIG_KEYS, FLAGS, FUNCTIONS, SPEC_FIELDS

# The migration table, what reads version 0.1's files, and their tests.
EXPLAINED = {
    "CHANGELOG.md",
    "keras_resnet/renamed.py",
    "keras_resnet/config/defaults_0_1.json",
    "tests/test_language.py",
    "tests/test_renamed.py",
    "tests/test_version_0_1.py",
}
FOLDERS = ("keras_resnet", "tests", "configs", "docs", "benchmarks", "deploy", "tools")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".json", ".ipynb", ".sh", ".toml", ".txt", ".sbatch", ""}


def texts():
    paths = [path for path in ROOT.iterdir() if path.is_file()]
    paths += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        skipped = name in EXPLAINED or name.startswith("tests/golden/") or "__pycache__" in name
        if not skipped and path.suffix in SUFFIXES:
            yield name, path.read_text(encoding="utf-8")


TEXTS = dict(texts())


def retired():
    """Regular expressions of the public names of version 0.1."""
    for old, row in CONFIG_KEYS.items():
        if row.new != old:
            key = old.partition(".")[2]
            # Ordinary words are retired as keys only. These are still words of other places.
            distinct = "_" in key and key not in ("max_bytes", "max_pixels", "rate_factor")
            yield rf"\b{key}\b" if distinct else re.escape(old) + r"\b"
    yield from (rf"\b{old}\b" for old in SPEC_FIELDS if "_" in old)
    yield from (rf"\bspec\.{old}\b" for old in SPEC_FIELDS)
    yield from (rf"\b{old}\b" for old in FUNCTIONS if "_" in old)
    yield from (rf"\bkeras_resnet\.{old}\b" for old in FUNCTIONS)
    yield from (rf"keras[-_]resnet {old}\b" for old in COMMANDS)
    yield from (rf"--{old}\b" for old in FLAGS)
    yield from (rf"\b{old}\b" for old in COMPLEXITY)
    yield from (r"multiply-add", r"\bpool_conv\b", r"python -m keras_resnet [a-z]", r"\blicence\b")


# Spellings, and turns of phrase that style.md replaces. The key is what to write.
PHRASES = {
    "American spelling": r"\b([Cc]olour|[Bb]ehaviour|[Nn]eighbour|[Cc]entre|[Ll]earnt|[Gg]rey|[Ff]avour|[Hh]onour)",
    "American spelling (-ize)": r"\b\w*(normal|optim|initial|quant|synchron|recogn)is(e|ed|es|ing|ation)\b",
    "network": r"\b[Nn]ets\b",
    "again": r"\banew\b",
    "your": r"\b[a-z]+ of (yours|theirs)\b",
    "inferred": r"\bfound out from\b",
    "resumed from step": r"\bwent on from step\b",
    "a checkpoint prefix": r"beginning of a .*file names",
}


def places(pattern):
    compiled = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in TEXTS.items()
        for number, line in enumerate(text.splitlines(), 1)
        if compiled.search(line)
    ]


@pytest.mark.parametrize("pattern", sorted(set(retired())))
def test_retired_name_is_nowhere(pattern):
    assert places(pattern) == []


@pytest.mark.parametrize("instead", PHRASES)
def test_phrase_is_nowhere(instead):
    assert [place for place in places(PHRASES[instead]) if not place.startswith("docs/style.md")] == []
