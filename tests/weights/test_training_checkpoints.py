"""Checkpoints of training scripts become networks with the selected weights."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keras_resnet import SPECS, build, from_weights, save_weights, variant
from keras_resnet.weights.loading import load_pretrained

SPEC = variant(replace(SPECS["resnet18"], depths=(1, 1, 1, 1), widths=(4, 4, 8, 8)), version="1.5")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Returns the tensors of a small network with torchvision's names."""
    model = build(SPEC, classes=5, input_shape=(32, 32, 3))
    random = np.random.default_rng(2015)
    model.set_weights([value + random.uniform(0.1, 0.2, value.shape) for value in model.get_weights()])
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    save_weights(model, str(path), to="torchvision")
    return load_file(path)


def averaged(state):
    return {name: (2 * value if name == "fc.bias" else value) for name, value in state.items()}


def checkpoint(state):
    """Returns the flattened checkpoint of torchvision's training script."""
    both = {f"model.{name}": value for name, value in state.items()}
    both |= {f"model_ema.module.{name}": value for name, value in averaged(state).items()}
    return both | {"model_ema.n_averaged": np.array(5)}


def test_load_pretrained_selects_plain_or_averaged_weights(state, tmp_path):
    path = str(tmp_path / "both.safetensors")
    save_file(checkpoint(state), path)
    for which, factor in (("plain", 1), ("ema", 2), (None, 1)):
        pretrained = load_pretrained(path, which=which)
        np.testing.assert_array_equal(pretrained.arrays["logits/bias"], factor * state["fc.bias"])
        told = [line for line in pretrained.assumed if "convert-weights --which=ema" in line]
        assert len(told) == (which is None)
        assert (pretrained.spec.depths, pretrained.classes) == (SPEC.depths, 5)


@pytest.mark.slow
def test_convert_weights_selects_weights_and_logs_the_choice(state, tmp_path, cli):
    source, target = tmp_path / "both.safetensors", tmp_path / "out.safetensors"
    save_file(checkpoint(state), source)
    command = ("-m", "keras_resnet", "convert-weights", source, target, "--overwrite")
    for flags, factor in (((), 1), (("--which=ema",), 2)):
        process = cli(*command, *flags)
        assert process.returncode == 0, process.stderr
        np.testing.assert_array_equal(load_file(target)["logits/bias"], factor * state["fc.bias"])
        line = "the plain weights (model.*) are meant, not the averaged ones (model_ema.module.*)"
        assert (line in process.stderr) == (not flags)
    for flag, message in (
        ("--which=emma", '--which: unknown which "emma"'),
        ("--which=ema", "holds no averaged weights"),
    ):
        process = cli("-m", "keras_resnet", "convert-weights", target, tmp_path / "no.safetensors", flag)
        assert (process.returncode, process.stderr.count("\n")) == (2, 1)
        assert message in process.stderr
        assert not (tmp_path / "no.safetensors").exists()


def test_from_weights_logs_ignored_layers(state, tmp_path, capsys):
    path = str(tmp_path / "moco.safetensors")
    tensors = {f"module.encoder_q.{name}": value for name, value in state.items()}
    save_file(tensors | {"module.queue": np.ones((8, 2), np.float32)}, path)
    model = from_weights(path, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    assert model.output_shape == (None, 8)
    told = capsys.readouterr().err
    assert "ignored, not layers of the network: module.encoder_q.fc (2 tensors), module.queue (1 tensor)" in told


def test_load_pretrained_refuses_a_classifier_of_other_width(state, tmp_path):
    path = str(tmp_path / "other.safetensors")
    tensors = {f"backbone.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    save_file(tensors | {"fc.weight": np.ones((5, 6), np.float32)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors: its classifier takes 6 features, its network returns 8"):
        load_pretrained(path)
