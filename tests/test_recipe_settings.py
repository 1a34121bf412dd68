"""Recipes have the settings of the papers, of the tables and of the commands that they reproduce."""

import re

import pytest
from recipes_rig import CIFAR, CONFIGS, PAPER, rate, recipe

from keras_resnet import SPECS
from keras_resnet.config import load_config


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_recipe_equals_the_paper(name):
    """He et al. 2015, section 4.2."""
    config = recipe(name)
    train, data = config.train, config.data
    assert (train.total_steps, train.batch_size, train.momentum, train.weight_decay) == (64_000, 128, 0.9, 1e-4)
    assert (data.random_crop_padding, data.horizontal_flip, data.validation_fraction, train.weight_decay_on) == (
        4,
        True,
        0.1,
        "all",
    )
    assert train.eval_every == 3_200
    assert [rate(name, step) for step in (400, 31_999, 32_000, 47_999)] == [0.1, 0.1, 0.01, 0.01]
    assert [rate(name, step) for step in (48_000, 63_999)] == [1e-3, 1e-3]


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_recipe_warm_up_learning_rate(name):
    """He et al. 2015, section 4.2: 0.01 for about 400 steps; He et al. 2016, appendix."""
    if name == "cifar10/highway19.yaml":
        first = [0.1 / 400, 0.1, 0.1]
    else:
        first = [0.01, 0.01, 0.1] if re.search("110|1202|preresnet", name) else [0.1, 0.1, 0.1]
    assert [rate(name, step) for step in (0, 399, 400)] == first


@pytest.mark.parametrize("name", PAPER)
def test_imagenet_recipe_equals_the_paper(name):
    """He et al. 2015, section 3.4; the milestones are those of its figure 4."""
    config = recipe(name)
    train, data = config.train, config.data
    assert (train.total_steps, train.batch_size, train.momentum, train.weight_decay) == (600_000, 256, 0.9, 1e-4)
    assert (data.crop, data.resize_range, data.image_size, data.horizontal_flip) == (
        "scale_jitter",
        (256, 480),
        224,
        True,
    )
    assert (data.pca_lighting, train.weight_decay_on, config.eval.crop_pct) == (True, "all", 224 / 256)
    assert [rate(name, step) for step in (0, 149_999, 150_000, 299_999, 300_000)] == [0.1, 0.1, 0.01, 0.01, 1e-3]


def test_imagenet_resnet18_and_34_recipes_have_shortcut_a():
    for name in ("imagenet/resnet18.yaml", "imagenet/resnet34.yaml"):
        assert recipe(name).model.spec.shortcut == "A"
        assert recipe(name, "model.shortcut=B").model.spec == SPECS[recipe(name).model.name]


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_90_epochs_recipe_steps_and_learning_rate(depth):
    name = f"imagenet/resnet{depth}_90epochs.yaml"
    train = recipe(name).train
    assert train.total_steps == round(90 * 1_281_167 / 256)
    assert train.warmup_steps == round(5 * 1_281_167 / 256)
    assert recipe(name).model.spec.version == "1.5"
    assert [rate(name, step) for step in (0, 25_022, train.total_steps)] == [0.1 / 25_023, 0.1, 0]


def test_90_epochs_recipe_learning_rate_scales_with_batch_size():
    name, larger = "imagenet/resnet50_90epochs.yaml", ("train.batch_size=1024", "train.warmup_steps=6256")
    assert recipe(name, *larger).train.peak_rate == pytest.approx(4 * recipe(name).train.peak_rate)
    assert rate(name, 6_255, *larger) == 0.4
    assert recipe(name, *larger).train.warmup_steps == round(5 * 1_281_167 / 1024)


def test_long_recipe_adds_only_regularization_to_the_network():
    short, long = recipe("imagenet/resnet50_90epochs.yaml"), recipe("imagenet/resnet50_long.yaml")
    assert long.train.total_steps == round(600 * 1_281_167 / 1024)
    assert long.train.warmup_steps == round(5 * 1_281_167 / 1024)
    assert round(224 / long.eval.crop_pct) == 232
    assert (long.train.label_smoothing, long.data.crop, long.model.zero_init_last_gamma) == (
        0.1,
        "random_resized",
        True,
    )
    assert long.model.spec == short.model.spec


# Wightman et al. 2021, table 2, in its order: A1, A2, A3. None stands for its crosses.
STRIKES_BACK = {
    "train res": (224, 224, 160),
    "test res": (224, 224, 224),
    "epochs": (600, 300, 100),
    "batch size": (2048, 2048, 2048),
    "optimizer": ("lamb", "lamb", "lamb"),
    "LR": (5e-3, 5e-3, 8e-3),
    "LR decay": ("cosine", "cosine", "cosine"),
    "weight decay": (0.01, 0.02, 0.02),
    "warmup epochs": (5, 5, 5),
    "label smoothing": (0.1, None, None),
    "dropout": (None, None, None),
    "stoch. depth": (0.05, 0.05, None),
    "repeated aug": (3, 3, None),
    "H. flip": (True, True, True),
    "RRC": (True, True, True),
    "Rand Augment": ((7, 0.5), (7, 0.5), (6, 0.5)),
    "auto augment": (None, None, None),
    "mixup alpha": (0.2, 0.1, 0.1),
    "cutmix alpha": (1.0, 1.0, 1.0),
    "erasing prob.": (None, None, None),
    "PCA lighting": (None, None, None),
    "EMA": (None, None, None),
    "test crop ratio": (0.95, 0.95, 0.95),
    "loss": ("binary_cross_entropy",) * 3,
    "mixed precision": (True, True, True),
}


@pytest.mark.parametrize("column", range(3), ids=["A1", "A2", "A3"])
def test_timm_recipe_equals_the_table(column):
    name = f"imagenet/resnet50_timm_a{column + 1}.yaml"
    config, file = recipe(name), load_config(str(CONFIGS[name]))
    train, data, model = config.train, config.data, config.model
    actual = {
        "train res": data.train_image_size or data.image_size,
        "test res": data.image_size,
        "epochs": file.train.epochs,
        "batch size": train.batch_size,
        "optimizer": train.optimizer,
        "LR": train.peak_rate,
        "LR decay": train.schedule,
        "weight decay": train.weight_decay,
        "warmup epochs": round(train.warmup_steps * train.batch_size / 1_281_167, 3),
        "label smoothing": train.label_smoothing or None,
        "dropout": model.dropout,
        "stoch. depth": model.drop_path_rate or None,
        "repeated aug": data.repeated_augmentation if data.repeated_augmentation > 1 else None,
        "H. flip": data.horizontal_flip,
        "RRC": data.crop == "random_resized",
        "Rand Augment": (data.randaugment_magnitude, data.randaugment_magnitude_std),
        "auto augment": data.auto_augment,
        "mixup alpha": data.mixup,
        "cutmix alpha": data.cutmix,
        "erasing prob.": data.random_erasing or None,
        "PCA lighting": data.pca_lighting or None,
        "EMA": train.ema_decay or None,
        "test crop ratio": config.eval.crop_pct,
        "loss": train.loss,
        "mixed precision": train.precision.startswith("mixed"),
    }
    assert actual == {line: values[column] for line, values in STRIKES_BACK.items()}
    # Not in the table: what timm's code has.
    assert (model.spec.version, model.zero_init_last_gamma, config.eval.interpolation) == ("1.5", True, "bicubic")
    assert (train.weight_decay_on, train.global_clipnorm, train.target_threshold) == ("kernels", 1.0, 0.2)
    assert (data.randaugment_num_ops, data.randaugment_operations, data.mixing) == (2, "timm", "batch")


def test_torchvision_v2_recipe_equals_its_command():
    """The flags of references/classification in pytorch.org/blog's recipe of 2021, with eight processes."""
    flags = {
        "batch-size": 8 * 128,
        "lr": 0.5,
        "lr-scheduler": "cosine",
        "lr-warmup-epochs": 5,
        "lr-warmup-method": "linear",
        "lr-warmup-decay": 0.01,
        "momentum": 0.9,
        "opt": "sgd",
        "auto-augment": "trivial_augment_wide",
        "epochs": 600,
        "random-erase": 0.1,
        "weight-decay": 2e-5,
        "norm-weight-decay": 0.0,
        "label-smoothing": 0.1,
        "mixup-alpha": 0.2,
        "cutmix-alpha": 1.0,
        "train-crop-size": 176,
        "val-resize-size": 232,
        "val-crop-size": 224,
        "model-ema-steps": 32,
        "model-ema-decay": 0.99998,
        "ra-reps": 4,
    }
    name = "imagenet/resnet50_torchvision_v2.yaml"
    config, epochs = recipe(name), load_config(str(CONFIGS[name])).train.epochs
    train, data = config.train, config.data
    of_an_image = (1 - train.ema_decay) * epochs / (train.batch_size * train.ema_every)
    actual = {
        "batch-size": train.batch_size,
        "lr": train.peak_rate,
        "lr-scheduler": train.schedule,
        "lr-warmup-epochs": round(train.warmup_steps * train.batch_size / 1_281_167, 3),
        "lr-warmup-method": "linear" if train.warmup_learning_rate is None else "constant",
        "lr-warmup-decay": train.warmup_start_factor,
        "momentum": train.momentum,
        "opt": train.optimizer,
        "auto-augment": data.auto_augment,
        "epochs": epochs,
        "random-erase": data.random_erasing,
        "weight-decay": train.weight_decay,
        "norm-weight-decay": 0.0 if train.weight_decay_on == "kernels" else train.weight_decay,
        "label-smoothing": train.label_smoothing,
        "mixup-alpha": data.mixup,
        "cutmix-alpha": data.cutmix,
        "train-crop-size": data.train_image_size,
        "val-resize-size": round(data.image_size / config.eval.crop_pct),
        "val-crop-size": data.image_size,
        "model-ema-steps": train.ema_every,
        "model-ema-decay": round(1 - of_an_image, 9),
        "ra-reps": data.repeated_augmentation,
    }
    assert actual == flags
    assert [rate(name, step) for step in (0, 3128, 6256)] == [0.005, 0.2525, 0.5]
    assert not config.model.zero_init_last_gamma
    assert (train.precision, config.model.spec.version, data.mixing) == ("float32", "1.5", "batch")
    assert data.random_erasing_fill == "mean"  # torchvision erases with 0 after normalization


def test_few_images_and_probe_recipes_differ_from_finetune_as_measured():
    """benchmarks/README.md, fine-tuning."""
    base, few, probe = (recipe(f"folder/{name}.yaml") for name in ("finetune", "few_images", "linear_probe"))
    measured = {"steps": 120, "epochs": None, "learning_rate": 0.03, "batch_norm": "frozen"}
    assert few.train == base.train.model_copy(update=measured)
    assert probe.train == few.train.model_copy(update={"freeze_at": "stage4", "layer_decay": 1.0})
    plain = {"crop": "center", "horizontal_flip": False, "area_range": (0.08, 1.0)}  # the last: its default
    assert few.data == probe.data == base.data.model_copy(update=plain)
    assert (few.model, few.eval) == (probe.model, probe.eval) == (base.model, base.eval)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.endswith("r101_c4.yaml")])
def test_recipe_of_the_papers_detectors_equals_the_paper(name):
    """He et al. 2015, appendix A, and Ren et al. 2015, section 3; COCO has an anchor size and negatives of its own."""
    config, coco = recipe(name), "voc" not in name  # that of DET extends that of COCO
    train, detector = config.train, config.detector
    decrease = 240_000 if coco else 60_000
    assert train.total_steps == decrease * 4 // 3
    assert [rate(name, step) for step in (0, decrease - 1, decrease)] == [1e-3, 1e-3, 1e-4]
    assert (train.momentum, train.weight_decay, train.weight_decay_on, train.batch_norm) == (
        0.9,
        5e-4,
        "all",
        "constant",
    )
    sizes, ratios = detector.anchor_sizes[0], detector.anchor_ratios
    assert (sizes, ratios) == ((64, 128, 256, 512) if coco else (128, 256, 512), (0.5, 1.0, 2.0))
    assert (detector.anchor_samples, detector.anchor_positive_fraction) == (256, 0.5)
    assert (detector.anchor_positive_iou, detector.anchor_negative_iou) == (0.7, 0.3)
    assert detector.ignore_crossing_anchors
    assert (detector.proposal_nms_iou, detector.proposals) == (0.7, (2000, 300))
    assert (detector.roi_samples, detector.roi_positive_fraction, detector.roi_positive_iou) == (128, 0.25, 0.5)
    assert detector.roi_negative_iou == ((0.0, 0.5) if coco else (0.1, 0.5))
    assert config.data.image_size * 375 / 500 == 600  # the shorter side of VOC's most frequent size
