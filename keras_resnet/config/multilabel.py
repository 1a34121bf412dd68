"""The configuration of multi-label classification: `Config` for images that have any number of labels."""

from typing import ClassVar, Literal

from pydantic import model_validator

from keras_resnet.config.data import Data
from keras_resnet.config.fields import problem
from keras_resnet.config.groups import Config


class MultilabelData(Data):
    """The data set, its splits and the augmentation of training images."""

    wants_several_labels: ClassVar[bool] = True

    @model_validator(mode="after")
    def _without_sampling(self):
        if self.sampling != "natural":
            raise problem(["sampling"], "is for images of one class each; see train.class_weights")
        return self


class MultilabelConfig(Config):
    """The configuration of a run of multi-label classification."""

    task: Literal["multilabel"] = "multilabel"  # type: ignore[assignment]
    data: MultilabelData = MultilabelData()
