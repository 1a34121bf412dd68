"""Maps names of version 0.1 to current names, for error messages and to read the files that version 0.1 wrote."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

SINCE = "0.2"


class Renamed(NamedTuple):
    """The current name of an old name.

    Attributes:
        new: the current name.
        values: old value -> new value, if the values changed too.
    """

    new: str
    values: Mapping[Any, Any] = MappingProxyType({})

    def value(self, old):
        """Returns the current form of an old value."""
        return next((new for each, new in self.values.items() if each == old), old)  # a list has no hash

    def old_value(self, new):
        """Returns version 0.1's form of a value."""
        return next((old for old, each in self.values.items() if each == new and new is not None), new)


# Keys of a configuration, "group.key". An entry that keeps its name has changed values.
CONFIG_KEYS = {
    "model.zero_channels": Renamed("model.zero_padding_position"),
    "model.last_gamma": Renamed("model.zero_init_last_gamma", {"one": False, "zero": True}),
    "model.stochastic_depth": Renamed("model.drop_path_rate"),
    "model.new_head": Renamed("model.reset_head"),
    "data.on_error": Renamed("data.on_unreadable_image"),
    "data.service": Renamed("data.tf_data_service"),
    "data.crop": Renamed("data.crop", {"whole": "center"}),
    "data.scales": Renamed("data.resize_range"),
    "data.crop_area": Renamed("data.area_range"),
    "data.pad_crop": Renamed("data.random_crop_padding"),
    "data.flip": Renamed("data.horizontal_flip"),
    "data.color": Renamed("data.pca_lighting", {"none": False, "alexnet": True}),
    "data.randaugment_layers": Renamed("data.randaugment_num_ops"),
    "data.erase": Renamed("data.random_erasing"),
    "train.learning_rate_per": Renamed("train.base_batch_size"),
    "train.drops": Renamed("train.milestones"),
    "train.warmup_rate": Renamed("train.warmup_learning_rate"),
    "train.decay_of": Renamed("train.weight_decay_on"),
    "train.clip_norm": Renamed("train.global_clipnorm"),
    "train.accumulate": Renamed("train.gradient_accumulation_steps"),
    "train.statistics": Renamed("train.batch_norm", {"replica": "per_replica"}),
    "train.reestimate_batches": Renamed("train.precise_bn_batches"),
    "train.freeze_until": Renamed("train.freeze_at"),
    "train.stage_rate_decay": Renamed("train.layer_decay"),
    "train.rematerialize": Renamed("train.remat"),
    "train.patience": Renamed("train.early_stopping_patience"),
    "recovery.rate_factor": Renamed("recovery.learning_rate_factor"),
    "recovery.explosion": Renamed("recovery.max_loss_ratio"),
    "eval.crop_fraction": Renamed("eval.crop_pct"),
    "export.bad_images": Renamed("export.on_invalid_image"),
    "export.max_bytes": Renamed("export.max_image_bytes"),
    "export.max_pixels": Renamed("export.max_image_pixels"),
    "export.agreement": Renamed("export.min_top1_agreement"),
}

SPEC_FIELDS = {
    "merge": Renamed("skip", {"plain": "none"}),
    "zero_channels": Renamed("zero_padding_position"),
    "order": Renamed("preactivation", {"post": False, "pre": True}),
    "stride_on": Renamed("stride_in"),
    "last_gamma": Renamed("zero_init_last_gamma", {"one": False, "zero": True}),
    "stochastic_depth": Renamed("drop_path_rate"),
    "group_width": Renamed("width_per_group"),
    "projection": Renamed("avg_down", {"conv": False, "pool_conv": True}),
    "squeeze": Renamed("se_reduction"),
    "biases": Renamed("conv_bias"),
}

OLD_PREPROCESSING = "preparation"
DESCRIPTION_FIELDS = {OLD_PREPROCESSING: Renamed("preprocessing")}  # of model descriptions and export reports

PREPROCESSING_FIELDS = {"crop_fraction": Renamed("crop_pct")}

OPTIMIZER_ARGUMENTS = {
    "l2": Renamed("weight_decay"),
    "decay_of": Renamed("weight_decay_on"),
    "clip_norm": Renamed("global_clipnorm"),
    "rate_factors": Renamed("learning_rate_factors"),
    "drops": Renamed("milestones"),
    "warmup_rate": Renamed("warmup_learning_rate"),
}

# Attributes of `keras_resnet`.
FUNCTIONS = {
    "responses": "layer_responses",
    "gates": "highway_gates",
    "batch_statistics": "batch_norm_statistics",
    "response_percentiles": "preactivation_percentiles",
    "Gate": "HighwayGate",
}

COMPLEXITY = {"multiply_adds": "macs"}

WORKING_COMMANDS = {"analyze": "reproduce"}  # the old name still works, and one line names the new one

COMMANDS = {"publish": "package-for-hub", "results": "compare", "examples": "sample-images"}

FLAGS = {"licence": "license", "picture": "plot", "on_error": "on_unreadable_image"}


def upgrade(values: dict, table: dict[str, Renamed]) -> dict:
    """Returns `values` with current names and values for the entries of `table`; other entries are unchanged."""
    renamed = {}
    for name, value in values.items():
        row = table.get(name)
        renamed[row.new if row else name] = row.value(value) if row else value
    return renamed


def upgrade_config(values: dict) -> dict:
    """Returns a configuration {group: {key: value}} of version 0.1 with current keys and values."""
    upgraded = {}
    for group, keys in values.items():
        if isinstance(keys, dict):
            flat = upgrade({f"{group}.{key}": value for key, value in keys.items()}, CONFIG_KEYS)
            keys = {key.partition(".")[2]: value for key, value in flat.items()}
        upgraded[group] = keys
    return upgraded


def upgrade_optimizer(config: dict) -> dict:
    """Returns the configuration of a `keras_resnet.SGD` of version 0.1 with current argument names."""
    if "l2" in config or "clip_norm" in config:
        # These entries are Keras's own, but their names are now arguments of this class.
        keras_own = {"global_clipnorm"} | ({"weight_decay"} if "l2" in config else set())
        config = {name: value for name, value in config.items() if name not in keras_own}
    return upgrade(config, OPTIMIZER_ARGUMENTS)
