"""The imports that each part of the package may have; docs/architecture.md shows the same graph."""

import ast
import pathlib

import pytest
from conftest import ROOT

PACKAGE = ROOT / "keras_resnet"

_TASKS_OF_BOXES = {
    "analysis/complexity",
    "boxes",
    "builder",
    "config",
    "data",
    "description",
    "errors",
    "inference",
    "reports",
    "specs",
    "task",
    "training",
    "weights",
}
# part -> parts of this package that it may import. A part is a module or a folder of the package.
ALLOWED = {
    "errors": set(),
    "renamed": set(),
    "files": set(),
    "reports": {"files"},
    "model_card": {"description"},
    "processor": set(),
    "options": set(),
    "tasks": set(),
    "detectors": set(),
    "specs": {"errors", "options", "renamed"},
    "description": {"renamed", "specs"},
    "yaml_files": {"errors", "files"},
    "config": {
        "description",
        "errors",
        "files",
        "losses",
        "optimizers",
        "options",
        "renamed",
        "schedules",
        "specs",
        "tasks",
        "yaml_files",
    },
    "layers": set(),
    "boxes": set(),
    "losses": set(),
    "optimizers": set(),
    "schedules": set(),
    "run_optimizer": {"errors", "renamed", "schedules"},
    "sgd": {"renamed", "run_optimizer"},
    "layerwise_optimizers": {"run_optimizer", "sgd"},
    "muon": {"run_optimizer"},
    "blocks": {"layers"},
    "very_deep": set(),
    "console": set(),
    "model": {"blocks", "description", "very_deep"},
    "highway": {"blocks"},
    "builder": {"blocks", "description", "highway", "model", "specs"},
    "weights/tf_checkpoint": {"errors"},
    "weights": {
        "description",
        "detectors",
        "errors",
        "files",
        "highway",
        "model_card",
        "specs",
        "weights/tf_checkpoint",
    },
    "catalog": {"specs", "weights"},
    "features": {"blocks", "builder"},
    "applications": {"builder", "description", "detectors", "errors", "model", "options", "specs", "weights"},
    "analysis/intermediate_outputs": set(),
    "analysis/complexity": {"analysis/intermediate_outputs", "builder", "renamed", "specs"},
    "analysis": {"analysis/complexity", "analysis/intermediate_outputs", "builder"},
    "reproduce": {
        "analysis",
        "analysis/complexity",
        "builder",
        "config",
        "console",
        "data",
        "errors",
        "files",
        "paper_results",
        "reports",
        "runs",
        "specs",
        "task",
        "tasks",
        "training",
        "weights",
    },
    "tuning": {"config", "data", "files", "task", "training"},
    "task": {"config", "description", "tasks"},
    "paper_results": {"config", "specs"},
    "data": {"config", "description", "errors"},
    "runs": {
        "config",
        "description",
        "errors",
        "files",
        "model_card",
        "paper_results",
        "processor",
        "renamed",
        "specs",
        "task",
        "tasks",
        "weights",
    },
    "training": {
        "analysis/complexity",
        "config",
        "console",
        "data",
        "errors",
        "files",
        "layers",
        "optimizers",
        "processor",
        "reports",
        "run_optimizer",
        "runs",
        "specs",
        "task",
        "tasks",
        "very_deep",
        "weights",
    },
    "export/formats": {"errors"},
    "export/graph": {"console"},
    "export": {
        "config",
        "console",
        "description",
        "errors",
        "export/formats",
        "export/graph",
        "files",
        "model",
        "processor",
        "task",
    },
    "inference": {"data", "description", "errors", "files", "renamed"},
    "classification": {
        "analysis/complexity",
        "applications",
        "builder",
        "config",
        "data",
        "description",
        "errors",
        "export/graph",
        "files",
        "layers",
        "losses",
        "model",
        "reports",
        "specs",
        "task",
        "weights",
    },
    # Multi-label classification derives from classification, which does not know it.
    "multilabel": {
        "classification",
        "config",
        "data",
        "description",
        "errors",
        "reports",
        "task",
        "training",
    },
    "detection": {*_TASKS_OF_BOXES, "blocks"},
    "localization": _TASKS_OF_BOXES,
    "commands": {"*"},
    "__main__": {"*"},
    "__init__": {"renamed"},
}
# Parts without TensorFlow: immediate configuration errors, and networks on every Keras backend.
WITHOUT_TENSORFLOW = {
    "errors",
    "reports",
    "model_card",
    "renamed",
    "console",
    "processor",
    "options",
    "specs",
    "description",
    "yaml_files",
    "config",
    "losses",
    "optimizers",
    "schedules",
    "task",
    "tasks",
    "blocks",
    "highway",
    "model",
    "builder",
    "weights",
    "applications",
    "catalog",
    "features",
    "analysis/complexity",
    "export/formats",
    "paper_results",
}
STANDARD_LIBRARY = {
    "keras_resnet",
    "collections",
    "dataclasses",
    "difflib",
    "json",
    "re",
    "textwrap",
    "types",
    "typing",
    "unicodedata",
}
STANDARD_LIBRARY_ONLY = {"description", "errors", "model_card", "options", "renamed", "specs"}


def part_of(module: str) -> str:
    """ "training.fit" -> "training", "analysis.complexity" -> "analysis/complexity"."""
    whole = module.replace(".", "/")
    return whole if whole in ALLOWED else whole.split("/")[0]


def imports(path: pathlib.Path, top_level_only=False):
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "keras_resnet":
                yield from (f"keras_resnet.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_module_imports_only_allowed_parts(path):
    part = part_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    allowed = ALLOWED[part]
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "keras_resnet" and rest and rest != "__version__":
            other = part_of(rest)
            assert other == part or other in allowed or "*" in allowed, f"{part} imports {other}"
        if top == "tensorflow":
            assert part not in WITHOUT_TENSORFLOW, f"{part} imports tensorflow"
        if part in STANDARD_LIBRARY_ONLY:
            assert top in STANDARD_LIBRARY, f"{part} imports {top}"
        assert top != "official", f"{part} imports tf-models-official"


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions count too."""
    modules = {".".join(["keras_resnet", *path.relative_to(PACKAGE).with_suffix("").parts]) for path in FILES}
    imported = {}
    for path in FILES:
        module = ".".join(["keras_resnet", *path.relative_to(PACKAGE).with_suffix("").parts])
        imported[module] = {other for other in _imported_modules(path) if other in modules} - {module}
    while free := [module for module, others in imported.items() if not others & imported.keys()]:
        for module in free:
            del imported[module]
    assert not imported, f"circles among {sorted(imported)}"


def _imported_modules(path):
    """Yields the modules that `path` imports, also as `from package import module`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_layers_import_no_tensorflow_at_top_level():
    assert "tensorflow" not in set(imports(PACKAGE / "layers.py", top_level_only=True))


@pytest.mark.parametrize("name", ["train.py", "export.py"])
def test_no_module_imports_an_entry_point(name):
    module = name.removesuffix(".py")
    for path in FILES:
        assert module not in set(imports(path)), f"{path} imports {name}"


def test_help_and_configuration_import_no_tensorflow(cli):
    """The modules that report a wrong configuration load without TensorFlow or Keras."""
    code = (
        "import sys, keras_resnet, keras_resnet.config, keras_resnet.commands.train, keras_resnet.commands.export;"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib') if name in sys.modules])"
    )
    assert cli("-c", code).stdout.strip() == "[]"
