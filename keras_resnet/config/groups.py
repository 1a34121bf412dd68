"""The typed configuration with all defaults, and its groups `eval` and `export`."""

from typing import Literal

from pydantic import Field, model_validator

from keras_resnet.config.data import Data
from keras_resnet.config.digests import digest
from keras_resnet.config.fields import Group, problem
from keras_resnet.config.model import Model
from keras_resnet.config.train import Recovery, Train
from keras_resnet.description import Interpolation
from keras_resnet.yaml_files import dump_yaml


class Eval(Group):
    """The evaluation of a network."""

    batch_size: int = Field(256, ge=1, le=10**6, description="Images per evaluation step, over all replicas.")
    crop_pct: float = Field(
        1.0,
        gt=0,
        le=1,
        description="The shorter side is resized to image_size / crop_pct before the center crop.",
    )
    interpolation: Interpolation = Field("bilinear", description="Interpolation of resizing, always antialiased.")


class Export(Group):
    """The outputs and limits of an exported model."""

    top_k: int | None = Field(
        None,
        ge=1,
        description="Number of classes that serving_default returns per image. null: 5, or all if there are fewer.",
    )
    on_invalid_image: Literal["status", "fail"] = Field(
        "status",
        description="Reaction of serving_default to an unreadable image. status: its row gives the reason and the "
        "other rows have results. fail: the whole request fails and names the row.",
    )
    max_image_bytes: int = Field(
        20_000_000, ge=1, le=2**31 - 1, description="Largest file that serving_default decodes, in bytes."
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=2**29, description="Largest image that serving_default decodes, in pixels."
    )
    min_top1_agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Minimum share of images for which an artifact of lower precision has the same top-1 class as the "
        "network. null: 0.999 for float16, 0.99 for bfloat16, dynamic and int8.",
    )


class Config(Group):
    """The configuration of a run; `config_json_schema()` returns its schema for editors."""

    task: Literal["classification"] = "classification"
    model: Model = Model()
    data: Data = Data()
    train: Train
    recovery: Recovery = Recovery()
    eval: Eval = Eval()
    export: Export = Export()

    @model_validator(mode="after")
    def _groups_agree(self):
        spec, train = self.model.spec, self.train
        if train.remat and (spec.drop_path_rate or spec.dropout or train.batch_norm == "synchronized"):
            other = "train.batch_norm: synchronized" if train.batch_norm == "synchronized" else "random layers"
            raise problem(["train", "remat"], f"cannot go with {other}, which would differ the second time")
        if train.freeze_at and train.freeze_at != "stem" and int(train.freeze_at[-1]) > len(spec.depths):
            raise problem(["train", "freeze_at"], f"{spec.name} has {len(spec.depths)} stages")
        return self

    def digest(self) -> str:
        """Returns eight hexadecimal digits that differ if any value differs, stable across versions."""
        defaults = Config(train=Train(steps=1))
        return digest(self.model_dump(mode="json"), defaults.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """Returns the configuration with all defaults as YAML that `load_config` reads."""
        return dump_yaml(self.model_dump(mode="json"))
