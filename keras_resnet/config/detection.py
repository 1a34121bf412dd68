"""The configuration of object detection: `Config` with the group `detector`, and without the labels' augmentations."""

import os
from collections import Counter
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from keras_resnet.config.data import LISTED_SETS, Data
from keras_resnet.config.detector_options import OF_RECIPES, DetectorOptions
from keras_resnet.config.fields import Group, problem
from keras_resnet.config.groups import Config, Eval
from keras_resnet.config.train import Train
from keras_resnet.description import Description
from keras_resnet.errors import ConfigError

# What has no meaning for boxes, or is not offered for them.
_FOR_LABELS = (
    "train_image_size",
    "crop",
    "resize_range",
    "area_range",
    "random_crop_padding",
    "pca_lighting",
    "randaugment_num_ops",
    "auto_augment",
    "random_erasing",
    "mixup",
    "cutmix",
)


def _list_name(value):
    if {"", ".", ".."} & {*value.split("/")} or value.endswith(".txt"):
        raise PydanticCustomError("unknown_name", "{hint}", {"hint": "expected FOLDER/LIST, such as VOC2007/trainval"})
    return value


_ListNames = Annotated[tuple[Annotated[str, AfterValidator(_list_name)], ...], Field(strict=False)]


class SplitLists(Group):
    """The lists of images that are a split, such as those of several years of Pascal VOC."""

    train: _ListNames = Field((), description="Lists of training images, such as [VOC2007/trainval, VOC2012/trainval].")
    validation: _ListNames = Field(
        (), description="Lists of validation images. Empty: data.validation_fraction of the training images."
    )
    test: _ListNames = Field((), description="Lists of test images.")

    def named(self) -> dict[str, tuple[str, ...]]:
        """Returns the lists of each split that has any."""
        lists = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each for name, each in lists.items() if each}


class DetectionData(Data):
    """The data set, its splits, and the augmentation of images with boxes."""

    wants_boxes: ClassVar[bool] = True

    max_objects: int = Field(
        100, ge=1, le=1000, description="Objects of a training image that count; images with more lose the last ones."
    )
    scale_range: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(
        (1.0, 1.0),
        strict=False,
        description="Scale jitter: the longer side becomes a random share in this range of image_size.",
    )
    copy_paste: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Probability of pasting objects of another training image on an image, for detector.masks.",
    )
    split_lists: SplitLists = Field(
        SplitLists(),
        description="voc: the lists of each split, FOLDER/LIST for FOLDER/ImageSets/Main/LIST.txt in the folder of "
        "data.name; imagenet_det: LIST for ImageSets/DET/LIST.txt. Empty: the lists of a folder of one year; ILSVRC's.",
    )

    @model_validator(mode="after")
    def _for_boxes(self):
        for name in _FOR_LABELS:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise problem([name], "is for images of one class; the task detection has scale_range, horizontal_flip")
        if len(self.scale_range) != 2 or self.scale_range[0] > self.scale_range[1]:
            raise problem(["scale_range"], f"expected two numbers, the smaller first, got {list(self.scale_range)}")
        return self

    @model_validator(mode="after")
    def _lists_of_splits(self):
        lists = self.split_lists.named()
        if lists and self.name.partition(":")[0] not in LISTED_SETS:
            raise problem(["split_lists"], f"is for voc:PATH and imagenet_det:PATH, not for {self.name}; omit it")
        if lists and "train" not in lists:
            raise problem(["split_lists", "train"], "expected a list or more, such as [VOC2007/trainval]")
        name, count = (
            Counter(each for names in lists.values() for each in names).most_common(1)[0] if lists else ("", 0)
        )
        if count > 1:
            raise problem(["split_lists"], f"names {name} {count} times")
        return self


class DetectionTrain(Train):
    """The optimization of a detector. Durations are in optimizer steps."""

    alternate: bool = Field(
        False,
        description="Train in the four steps of Ren et al. 2015, of train.steps each: proposals, the detector, and "
        "both again with the shared layers fixed.",
    )
    alternation_step: int = Field(
        4, ge=1, le=4, description="The step that a run is, of a run with alternate: true, which sets it."
    )

    @model_validator(mode="after")
    def _alternates(self):
        if self.alternation_step != 4 and not self.alternate:
            raise problem(["alternation_step"], "is for runs with alternate: true")
        if self.alternate and self.early_stopping_patience is not None:
            raise problem(
                ["early_stopping_patience"],
                "cannot go with train.alternate: the average precision of the first steps does not improve",
            )
        return self


class DetectionEval(Eval):
    """The evaluation of a detector."""

    max_detections: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Detections per image that an evaluation asks for and counts. null: detector.detections.",
    )


def earlier_step(step: int) -> str:
    """Returns the subfolder of one of the first three steps of alternating training."""
    return os.path.join("alternation", f"step{step}")


class DetectionConfig(Config):
    """The configuration of a run of object detection."""

    task: Literal["detection"] = "detection"  # type: ignore[assignment]
    data: DetectionData = DetectionData()
    train: DetectionTrain
    detector: DetectorOptions = DetectorOptions()
    eval: DetectionEval = DetectionEval()

    def earlier_runs(self) -> dict[str, Self]:
        """Returns the first three steps of alternating training, in subfolders of the last."""
        if not self.train.alternate or self.train.alternation_step != 4:
            return {}
        steps = {step: self.train.model_copy(update={"alternation_step": step}) for step in (1, 2, 3)}
        return {earlier_step(step): self.model_copy(update={"train": train}) for step, train in steps.items()}

    def filled_in(self, weights: Description, labels: tuple[str, ...]) -> Self:
        """Returns a copy as `Config.filled_in`; weights of a detector determine its options too."""
        config = super().filled_in(weights, labels)
        if not weights.detector:
            return config
        options = DetectorOptions.model_validate(weights.detector)
        design = self.detector.design
        if design != options.design and "design" in self.detector.model_fields_set:
            raise ConfigError(
                f"detector.design: {design}, but {self.model.weights} has weights of design {options.design}"
            )
        if labels != weights.labels:  # the layers of the classes are new
            options = options.model_copy(update={"unused_outputs": 0})
        return config._with_options_of(options)

    def filled_in_as(self, run: Self) -> Self:
        """Returns a copy as `Config.filled_in_as`."""
        return super().filled_in_as(run)._with_options_of(run.detector)

    def _with_options_of(self, options):
        own = {*OF_RECIPES, *self.detector.model_fields_set}
        own |= set() if self.detector.masks else {"mask_stem_features"}  # which nothing but masks has
        theirs = {name: getattr(options, name) for name in DetectorOptions.model_fields if name not in own}
        return self.model_copy(update={"detector": self.detector.model_copy(update=theirs)})

    @model_validator(mode="after")
    def _possible(self):
        if self.train.remat:
            raise problem(["train", "remat"], "is not possible with the task detection")
        if self.data.copy_paste and not self.detector.masks:
            raise problem(["data", "copy_paste"], "pastes objects through their masks; set detector.masks: true too")
        return self
