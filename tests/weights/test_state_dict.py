"""Selects the network in the files of training scripts; every name here is written by a known script."""

import numpy as np
import pytest

from keras_resnet.weights.state_dict import flatten, pick_network

KERNEL = np.ones((2, 2, 1, 1), np.float32)
DENSE, VECTOR = np.ones((5, 2), np.float32), np.ones(5, np.float32)
TRUNK = {"conv1.weight": KERNEL, "layer1.0.conv1.weight": KERNEL}
WHOLE = TRUNK | {"fc.weight": DENSE, "fc.bias": VECTOR}
PRE = {"stem.conv.weight": KERNEL, "stages.0.blocks.0.conv1.weight": KERNEL, "head.fc.weight": DENSE}


def under(prefix, tensors, scale=1):
    return {f"{prefix}{name}": scale * value for name, value in tensors.items()}


def nothing_told(tensors, **arguments):
    network, told = pick_network(tensors, "a file", **arguments)
    assert told == ()
    return network


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "model.",
        "model.module._orig_mod.",
        "backbone.",
        "encoder.",
        "student.",
        "net.",
        "network.",
        "state_dict.",
        "state_dict.model.backbone.",
        "model_state_dict.module.",
        "_fsdp_wrapped_module.",
        "any_name_at_all.resnet.",
    ],
)
@pytest.mark.parametrize("tensors", [TRUNK, WHOLE], ids=["trunk", "whole"])
def test_pick_network_strips_a_shared_prefix(prefix, tensors):
    assert nothing_told(under(prefix, tensors)).keys() == tensors.keys()


def test_pick_network_omits_counters():
    counters = {"bn1.num_batches_tracked": np.int64(3), "n_averaged": np.int64(1), "best_acc1": np.float32(70)}
    assert nothing_told(WHOLE | counters).keys() == WHOLE.keys()


def test_pick_network_strips_wrappers_of_layers():
    names = ["conv1._orig_mod.weight", "layer1._fsdp_wrapped_module.0.conv1.weight"]
    names += ["layer1.1._checkpoint_wrapped_module.conv1.weight"]
    stripped = ["conv1.weight", "layer1.0.conv1.weight", "layer1.1.conv1.weight"]
    assert list(nothing_told(dict.fromkeys(names, KERNEL))) == stripped


@pytest.mark.parametrize("name", ["stage1_block1_conv1/kernel", "conv2_block1_1_conv/kernel"])
def test_pick_network_strips_a_nested_keras_model(name):
    assert list(nothing_told({f"resnet50/{name}": KERNEL})) == [name]


def test_pick_network_keeps_unknown_names():
    tensors = {"model/layer_with_weights-0/kernel": KERNEL, "module.x": KERNEL}
    assert nothing_told(tensors) == tensors


@pytest.mark.parametrize(
    "head",
    [
        {"fc.weight": DENSE, "fc.bias": VECTOR},
        {"head.weight": DENSE},
        {"head.fc.weight": DENSE, "head.fc.bias": VECTOR},
        {"classifier.1.weight": DENSE, "classifier.1.bias": VECTOR},
        {"linear.weight": DENSE, "criterion_weights": VECTOR[:0]},
    ],
    ids=lambda head: min(head),
)
@pytest.mark.parametrize("prefix", ["backbone.", "state_dict.module.encoder."])
def test_pick_network_takes_a_classifier_outside_the_prefix(prefix, head):
    head = {name: value for name, value in head.items() if value.size}
    beside = under(prefix.rpartition(".")[0].rpartition(".")[0] + "." if prefix.count(".") > 1 else "", head)
    network = nothing_told(under(prefix, TRUNK) | beside)
    assert network.keys() == TRUNK.keys() | {f"fc.{name.rpartition('.')[2]}" for name in head}
    np.testing.assert_array_equal(network["fc.weight"], DENSE)


def test_pick_network_omits_and_logs_a_loss_beside_a_classifier():
    tensors = under("model.", TRUNK) | {"fc.weight": DENSE, "criterion.weight": VECTOR}
    network, told = pick_network(tensors, "a file")
    assert network.keys() == TRUNK.keys() | {"fc.weight"}
    assert told == ("ignored, not layers of the network: criterion (1 tensor)",)


def test_pick_network_omits_a_classifier_after_a_neck():
    tensors = under("backbone.", TRUNK) | {"neck.weight": DENSE, "head.weight": DENSE, "head.bias": VECTOR}
    network, told = pick_network(tensors, "a file")
    assert network.keys() == TRUNK.keys()
    assert told == ("ignored, not layers of the network: head (2 tensors), neck (1 tensor)",)


@pytest.mark.parametrize(
    ("tensors", "left_out"),
    [
        (
            under("backbone.", TRUNK) | {"projector.0.weight": DENSE, "projector.2.weight": DENSE},
            "projector (2 tensors)",
        ),
        (under("encoder.", TRUNK | {"fc.0.weight": DENSE, "fc.3.weight": DENSE}), "encoder.fc (2 tensors)"),  # SimSiam
        (under("module.", TRUNK | {"projection_head.0.weight": DENSE}), "module.projection_head (1 tensor)"),  # SwAV
        (under("module.encoder_q.", WHOLE), "module.encoder_q.fc (2 tensors)"),  # MoCo v1: one layer, no classes
        (under("backbone.", TRUNK) | {"head.mlp.0.weight": DENSE, "head.last.weight_g": DENSE}, "head (2 tensors)"),
        (
            under("backbone.body.", TRUNK) | {f"{part}.weight": DENSE for part in "abcdefg"},
            "a (1 tensor), b (1 tensor), c (1 tensor), d (1 tensor), e (1 tensor) and 2 more",
        ),
    ],
)
def test_pick_network_omits_and_logs_training_only_layers(tensors, left_out):
    network, told = pick_network(tensors, "a file")
    assert network.keys() == TRUNK.keys()
    assert told == (f"ignored, not layers of the network: {left_out}",)


@pytest.mark.parametrize(
    ("plain", "ema"),
    [
        ("state_dict.", "state_dict_ema."),
        ("model.", "model_ema.module."),
        ("model.module.", "ema.module."),
        ("model_state_dict.", "ema_state_dict."),
        ("student.module.backbone.", "teacher.backbone."),
        ("state_dict.model.", "state_dict.ema_model.module."),
        ("module.encoder_q.", "module.encoder_k."),
        ("online_network.", "target_network."),
        ("", "ema."),
        ("model.", "swa_model."),
    ],
)
@pytest.mark.parametrize("which", [None, "plain", "ema"])
def test_pick_network_separates_plain_and_averaged_weights(plain, ema, which):
    tensors = under(plain, TRUNK) | under(ema, TRUNK, scale=2) | {"n_averaged": np.float32(5), "epoch": np.int64(3)}
    network, told = pick_network(tensors, "a file", which)
    assert network.keys() == TRUNK.keys()
    assert network["conv1.weight"].max() == (2 if which == "ema" else 1)
    if which:
        assert told == ()
    else:
        assert told[0].startswith(f"the plain weights ({plain or 'without a prefix'}".rstrip("."))
        assert f"the averaged ones ({ema}*), which `convert-weights --which=ema` takes" in told[0]


def test_pick_network_takes_the_classifier_of_the_same_weights():
    tensors = under("model.backbone.", TRUNK) | under("model.", {"fc.weight": DENSE})
    tensors |= under("model_ema.backbone.", TRUNK, 2) | under("model_ema.", {"fc.weight": DENSE}, 2)
    for which, value in (("plain", 1), ("ema", 2)):
        network = nothing_told(tensors, which=which)
        assert (network["conv1.weight"].max(), network["fc.weight"].max()) == (value, value)


@pytest.mark.parametrize(
    ("tensors", "which", "message"),
    [
        (under("model.", TRUNK), "ema", "holds no averaged weights, only plain ones"),
        (under("teacher.", TRUNK), "plain", "holds no plain weights, only averaged ones"),
        (
            under("a.", TRUNK) | under("b.", TRUNK),
            None,
            r"holds 2 networks \(a\.\*, b\.\*\); save the one",
        ),
        (TRUNK | under("_orig_mod.", TRUNK), None, r"holds a network twice, compiled \(_orig_mod\) and not"),
        ({"x": KERNEL}, "ema", "holds no averaged weights, only plain ones"),
    ],
)
def test_pick_network_refuses_missing_or_ambiguous_weights(tensors, which, message):
    with pytest.raises(ValueError, match=f"^a file: {message}"):
        pick_network(tensors, "a file", which)


def test_pick_network_takes_averaged_weights_without_plain_ones():
    assert nothing_told(under("state_dict_ema.", WHOLE)).keys() == WHOLE.keys()


def test_pick_network_ignores_optimizer_moments():
    moments = under("optimizer.state.momentum.", TRUNK) | under("optim_state_dict.", TRUNK)
    assert nothing_told(under("model.", TRUNK) | moments).keys() == TRUNK.keys()


def test_pick_network_keeps_names_of_timm_preactivation_networks():
    network = nothing_told(under("module.", PRE))
    assert network.keys() == PRE.keys() - {"head.fc.weight"} | {"fc.weight"}


def test_flatten_joins_names_and_omits_unnamed_tensors():
    content = {
        "state_dict": {"layer1.0.conv1.weight": KERNEL, "n": 3},
        "optimizer": {"state": {0: {"momentum_buffer": KERNEL}}, "param_groups": [{"lr": KERNEL}]},
        "epoch": 3,
        "best": VECTOR,
    }
    content["itself"] = content
    content["again"] = content["state_dict"]
    names = set(flatten(content, lambda value: isinstance(value, np.ndarray)))
    assert {"best"} < names
    assert len(names) == 2
    assert names - {"best"} <= {"state_dict.layer1.0.conv1.weight", "again.layer1.0.conv1.weight"}


def test_flatten_refuses_two_tensors_with_one_name():
    with pytest.raises(ValueError, match=r"^names two tensors a\.b$"):
        flatten({"a": {"b": KERNEL}, "a.b": KERNEL}, lambda value: isinstance(value, np.ndarray))


@pytest.mark.parametrize("content", [None, [KERNEL], KERNEL, {"a": [KERNEL]}], ids=["none", "list", "tensor", "deep"])
def test_flatten_without_names_is_empty(content):
    assert flatten(content, lambda value: isinstance(value, np.ndarray)) == {}
