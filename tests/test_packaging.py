"""The wheel has every part of the package, and the recipes."""

import tomllib

import pytest
from conftest import ROOT, run

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


# What a job alone needs, and extras, as in docs/installation.md.
LEFT_OUT = ("huggingface_hub", "matplotlib", "onnx", "onnxruntime", "sklearn", "tensorflow_datasets")
LEFT_OUT += ("ai_edge_litert", "official", "tensorflow_serving", "tf2onnx", "wandb")


def without(*packages):
    """A script's first line: importing these packages fails as where they are not installed."""
    return f"import sys; sys.modules.update(dict.fromkeys({packages!r}))\n"


@pytest.mark.slow
def test_networks_and_weights_need_little(tmp_path):
    """Building, saving and loading need Keras, TensorFlow, NumPy and safetensors."""
    script = (
        without(*LEFT_OUT)
        + """
import keras_resnet
model = keras_resnet.CIFARResNet(20)
keras_resnet.save_weights(model, sys.argv[1])
print(keras_resnet.from_weights(sys.argv[1]).name, keras_resnet.complexity(model).parameters)
"""
    )
    process = run("-c", script, str(tmp_path / "weights.safetensors"))
    assert (process.returncode, process.stdout) == (0, "cifar_resnet20 269722\n"), process.stderr


@pytest.mark.slow
def test_predict_needs_little(finished_run, tmp_path):
    """A table of predictions of a run; images need Pillow, plots matplotlib."""
    script = without(*LEFT_OUT) + "from keras_resnet.commands.entry import run; run('predict', sys.argv[1:])"
    image = tmp_path / "image.png"
    examples = run("-m", "keras_resnet", "sample-images", "digits", "--count=1", f"--output={tmp_path}")
    image = examples.stdout.strip()
    process = run("-c", script, str(finished_run), image)
    assert process.returncode == 0, process.stderr
    assert image in process.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("huggingface_hub", ["predict", "hf://owner/name", "README.md"], "hub"),
        ("huggingface_hub", ["package-for-hub", "{run}", "{tmp}/folder", "--push_to=owner/name"], "hub"),
        ("tensorflow_datasets", ["train", "--set=data.name=tfds:cifar10"], "datasets"),
        ("tf2onnx", ["export", "--workdir={run}", "--output={tmp}/out", "--formats=saved_model,onnx"], "onnx"),
        ("wandb", ["train", "--workdir={tmp}/run", "--set=train.wandb_project=x"], "wandb"),
    ],
)
def test_missing_extra_is_one_line_with_the_command(package, command, extra, finished_run, tmp_path):
    arguments = [each.format(run=finished_run, tmp=tmp_path) for each in command]
    script = without(package) + "from keras_resnet.commands.entry import run; run(sys.argv[1], sys.argv[2:])"
    process = run("-c", script, *arguments)
    assert process.returncode == 2, process.stderr
    line = process.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert line.endswith(f'pip install "keras-residual-networks[{extra}]"')
