"""Finds the recipes, the configuration files of the package."""

import os
from importlib.resources import files

from keras_resnet.errors import ConfigError, suggest
from keras_resnet.files import is_remote


def recipes_folder() -> str:
    """Returns the folder of the recipes: inside the installed package, or the repository's configs/."""
    package = str(files("keras_resnet"))
    installed = os.path.join(package, "configs")
    return installed if os.path.isdir(installed) else os.path.join(os.path.dirname(package), "configs")


def recipe_names() -> list[str]:
    """Returns the names of all recipes, sorted: "cifar10/resnet110"."""
    root = recipes_folder()
    return sorted(
        f"{group}/{os.path.splitext(file)[0]}"
        for group in os.listdir(root)
        if os.path.isdir(os.path.join(root, group))
        for file in os.listdir(os.path.join(root, group))
        if file.endswith(".yaml")
    )


def find_recipe(name: str) -> str:
    """Returns the path of a configuration: a file, or a recipe's name such as "cifar10/resnet110".

    Raises:
        ConfigError: there is neither.
    """
    if os.path.isfile(name) or is_remote(name):
        return os.path.relpath(name) if os.path.isabs(name) and name.startswith(os.getcwd() + os.sep) else name
    recipe = name.removeprefix("configs/").removesuffix(".yaml")
    path = os.path.join(recipes_folder(), f"{recipe}.yaml")
    if recipe in recipe_names():
        return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
    near = suggest(recipe, recipe_names())
    hint = near if near.startswith("did") else "`keras-resnet list --recipes` shows the recipes"
    raise ConfigError(f"--config={name}: no such file or recipe; {hint}")
