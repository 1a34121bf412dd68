"""Checkpoints of tf-models-official give the logits of its own networks."""

import json

import numpy as np
import pytest
import seeded
import tensorflow as tf
from conftest import GOLDEN
from weights_rig import keras_value, logits, relative_error

from keras_resnet import build, from_weights
from keras_resnet.specs import variant
from keras_resnet.weights import conversion
from keras_resnet.weights.loading import load_pretrained, set_pretrained

# network: (name in SPECS, epsilon that the caller must pass)
NETWORKS = {"resnet18": ("resnet18", None), "resnet50": ("resnet50", 1e-5)}
IMAGES = seeded.images("rect")[:, :96, :64]


def checkpoint(network, folder, extra=()):
    """Writes seeded values under the keys of the golden listing, as tf-models-official does; returns the prefix."""
    root = tf.Module()
    for key, shape, name in [*json.loads((GOLDEN / f"official_{network}.json").read_text()), *extra]:
        *path, variable = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").split("/")
        node = root
        for part in path:
            if not hasattr(node, part):
                setattr(node, part, tf.Module())
            node = getattr(node, part)
        setattr(node, variable, tf.Variable(keras_value(name, shape)))
    return tf.train.Checkpoint(model=root.model, global_step=tf.Variable(3)).write(str(folder / network))


def load(network, prefix, **arguments):
    epsilon = NETWORKS[network][1]
    return from_weights(prefix, epsilon=epsilon, classifier_activation=None, input_shape=IMAGES.shape[1:], **arguments)


@pytest.mark.sampled("resnet18")
@pytest.mark.parametrize("network", NETWORKS)
def test_official_checkpoint_gives_the_golden_logits(network, tmp_path):
    golden = np.load(GOLDEN / f"official_{network}.npz")["logits"]
    model = load(network, checkpoint(network, tmp_path))
    assert relative_error(logits(model, IMAGES), golden) < 2e-5
    spec = model.description.spec
    assert (spec.name, spec.version, spec.implementation.padding) == (NETWORKS[network][0], "1.5", "same")
    assert spec.implementation.first_projection == ("always" if spec.block == "basic" else "changed")


@pytest.mark.slow
@pytest.mark.parametrize("trap", ["padding", "epsilon"])
def test_conversion_without_padding_or_epsilon_gives_other_logits(trap, tmp_path, monkeypatch):
    golden = np.load(GOLDEN / "official_resnet18.npz")["logits"]
    if trap == "epsilon":
        monkeypatch.setattr(conversion, "fold_epsilon", lambda arrays, epsilon: None)
    pretrained = load_pretrained(checkpoint("resnet18", tmp_path))
    spec = variant(pretrained.spec, padding="symmetric") if trap == "padding" else pretrained.spec
    model = build(spec, classes=7, input_shape=IMAGES.shape[1:])
    set_pretrained(model, pretrained)
    assert relative_error(logits(model, IMAGES), golden) > 1e-4


@pytest.mark.slow
def test_from_weights_logs_the_assumed_epsilon(tmp_path, capsys):
    prefix = checkpoint("resnet18", tmp_path)
    from_weights(prefix)
    assert "epsilon is 1e-3" in capsys.readouterr().err
    load_pretrained(prefix, epsilon=1e-5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("layer", ["_squeeze_excitation/_se_reduce", "_shortcut1"])
def test_load_pretrained_refuses_unknown_layers(layer, tmp_path):
    kernel = (f"model/layer_with_weights-0/layer_with_weights-2/{layer}/kernel", [1, 1, 8, 8], "0/k")
    prefix = checkpoint("resnet18", tmp_path, [kernel])
    with pytest.raises(ValueError, match=f"{layer}/kernel is of no layer"):
        load_pretrained(prefix)


def test_load_pretrained_names_damaged_checkpoints(tmp_path):
    prefix = checkpoint("resnet18", tmp_path)
    data = next(tmp_path.glob("*.data-*"))
    data.write_bytes(data.read_bytes()[:-100_000])
    with pytest.raises(ValueError, match=r"resnet18: (declares .* bytes|not a complete checkpoint)"):
        load_pretrained(prefix)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_golden_logits_equal_the_network_of_tf_models_official(network, tmp_path):
    """Builds the network of tf-models-official with the golden values."""
    import tf_keras
    from official.vision.modeling import backbones, classification_model

    arguments = {
        "resnet18": {"model_id": 18, "norm_epsilon": 1e-3},
        "resnet50": {"model_id": 50, "norm_epsilon": 1e-5},
    }[network]
    shape = tf_keras.layers.InputSpec(shape=[None, *IMAGES.shape[1:]])
    backbone = backbones.ResNet(input_specs=shape, **arguments)
    theirs = classification_model.ClassificationModel(backbone, num_classes=7, input_specs=shape)
    for number, variable in enumerate(theirs.variables):
        variable.assign(keras_value(f"{number}/{variable.name.split('/')[-1].partition(':')[0]}", variable.shape))
    normalized = (IMAGES - 255 * np.float32([0.485, 0.456, 0.406])) / (255 * np.float32([0.229, 0.224, 0.225]))
    assert (
        relative_error(theirs.predict(normalized, verbose=0), np.load(GOLDEN / f"official_{network}.npz")["logits"])
        < 1e-5
    )
    prefix = tf.train.Checkpoint(model=theirs).write(str(tmp_path / "theirs"))
    assert relative_error(logits(load(network, prefix), IMAGES), theirs.predict(normalized, verbose=0)) < 2e-5
