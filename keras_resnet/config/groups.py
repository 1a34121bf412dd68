"""A whole configuration, typed, with every default."""

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
    """How a network is tested."""

    batch_size: int = Field(256, ge=1, le=10**6, description="Images of one evaluation step, over all replicas.")
    crop_pct: float = Field(
        1.0,
        gt=0,
        le=1,
        description="The shorter side is resized to image_size / crop_pct before the central crop.",
    )
    interpolation: Interpolation = Field("bilinear", description="How images are resized, always without aliasing.")


class Export(Group):
    """What an exported model answers."""

    top_k: int | None = Field(
        None,
        ge=1,
        description="Classes that serving_default returns for an image. null: 5, or all of fewer.",
    )
    on_invalid_image: Literal["status", "fail"] = Field(
        "status",
        description="An image that serving_default cannot read: status, its row says why and the others are answered; "
        "fail, the whole request fails and names the row.",
    )
    max_image_bytes: int = Field(
        20_000_000, ge=1, le=2**31 - 1, description="serving_default decodes no file of more bytes than that."
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=2**29, description="serving_default decodes no image of more pixels than that."
    )
    min_top1_agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Least share of images on which an artifact of lower precision names the class that the network "
        "names. null: 0.999 for float16, 0.99 for bfloat16, dynamic and int8.",
    )


class Config(Group):
    """A whole run. `config_json_schema()` turns it into the schema that editors read."""

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
        """Eight hexadecimal digits that differ when anything in the configuration does, in every later version too."""
        defaults = Config(train=Train(steps=1))
        return digest(self.model_dump(mode="json"), defaults.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """The configuration with every default written out, as `load_config` reads it."""
        return dump_yaml(self.model_dump(mode="json"))
