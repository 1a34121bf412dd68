"""The wheel has every part of the package, and the recipes."""

import tomllib

from conftest import ROOT

from keras_resnet.config.recipes import find_recipe, recipe_names

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_folder_with_code_is_a_package_of_the_wheel():
    modules = (path.relative_to(ROOT) for path in (ROOT / "keras_resnet").rglob("*.py"))
    folders = {path.parent for path in modules if "kit" not in path.parts}
    packages = {".".join(folder.parts) for folder in folders} | {"keras_resnet.configs"}
    assert set(SETUPTOOLS["packages"]) == packages


def test_recipes_are_found_by_name():
    paths = {str(path.relative_to(ROOT / "configs").with_suffix("")) for path in (ROOT / "configs").rglob("*.yaml")}
    assert set(recipe_names()) == paths
    for name in paths:
        assert find_recipe(name) == find_recipe(f"configs/{name}.yaml")
