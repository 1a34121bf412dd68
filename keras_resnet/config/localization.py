"""The configuration of localization: `Config` with the group `localizer`, and crops that carry boxes."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from keras_resnet.config.data import Data
from keras_resnet.config.fields import Group, problem
from keras_resnet.config.groups import Config
from keras_resnet.description import Description

_Size = Annotated[float, Field(gt=0, le=4096)]
# What moves or mixes pixels without their boxes.
_WITHOUT_BOXES = (
    *("train_image_size", "random_crop_padding", "randaugment_num_ops", "auto_augment"),
    *("random_erasing", "mixup", "cutmix"),
)


class LocalizerOptions(Group):
    """The per-class region proposal network of He et al. 2015, appendix C."""

    stage: int | None = Field(
        None, ge=1, le=8, description="Stage whose feature map it reads, such as 3. null: the last one."
    )
    channels: int | None = Field(
        512, ge=1, description="Channels of a 3x3 convolution before the layers of the classes. null: none."
    )
    anchor_sizes: tuple[_Size, ...] = Field(
        (64, 128, 256), strict=False, description="Square roots of the anchors' areas in pixels of the input."
    )
    anchor_ratios: tuple[_Size, ...] = Field((0.5, 1.0, 2.0), strict=False, description="Anchors' height / width.")
    anchor_samples: int = Field(8, ge=2, description="Greatest number of anchors per image in the loss.")
    anchor_positive_iou: float = Field(0.7, gt=0, le=1, description="Anchors that overlap a box more are positive.")
    anchor_negative_iou: float = Field(0.3, ge=0, le=1, description="Anchors that overlap boxes less are negative.")
    class_loss_weight: float = Field(
        1.0, ge=0, description="Weight of the classification loss. 0: the classifier is not trained."
    )
    rcnn: bool = Field(
        False, description="Train the second stage, R-CNN on proposals, on a localizer that `model.weights` has."
    )
    proposals: int = Field(200, ge=1, description="R-CNN: the best proposals of a class in an image.")
    proposal_nms_iou: float = Field(0.7, gt=0, le=1, description="R-CNN: proposals that overlap more are one.")
    roi_samples: int = Field(
        1, ge=1, description="R-CNN: proposals of an image in the loss. 1: every one in a batch is of another image."
    )
    roi_positive_fraction: float = Field(0.25, gt=0, lt=1, description="R-CNN: probability of drawing a positive.")
    roi_positive_iou: float = Field(
        0.5, gt=0, le=1, description="R-CNN: proposals that overlap a box more are positive."
    )
    roi_context: float = Field(
        1.164, ge=1, le=4, description="R-CNN: side of what is warped, in sides of the proposal."
    )
    top_k: int = Field(5, ge=1, description="Number of (class, box) pairs of an answer; all classes if they are fewer.")

    @model_validator(mode="after")
    def _consistent(self):
        for name in ("anchor_sizes", "anchor_ratios"):
            if not getattr(self, name):
                raise problem([name], "expected at least one")
        if self.anchor_negative_iou > self.anchor_positive_iou:
            raise problem(
                ["anchor_negative_iou"],
                f"{self.anchor_negative_iou} is more than anchor_positive_iou {self.anchor_positive_iou}",
            )
        return self


# Options of training and of answers; weights of a localizer determine the others.
_OF_RECIPES = (
    *(f"anchor_{name}" for name in ("samples", "positive_iou", "negative_iou")),
    *("class_loss_weight", "rcnn", "proposals", "proposal_nms_iou"),
    *(f"roi_{name}" for name in ("samples", "positive_fraction", "positive_iou")),
    "top_k",
)


class LocalizationData(Data):
    """The data set, its splits, and the random crops of images with boxes."""

    wants_boxes: ClassVar[bool] = True

    max_objects: int = Field(
        20, ge=1, le=1000, description="Boxes of a training image that count; images with more lose the last ones."
    )
    min_box_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A box is clipped to the crop; if less than this share of its area remains, it does not count.",
    )

    @model_validator(mode="after")
    def _carries_boxes(self):
        for name in _WITHOUT_BOXES:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise problem([name], "does not move boxes; the task localization has crop, horizontal_flip")
        return self


class LocalizationConfig(Config):
    """The configuration of a run of localization."""

    task: Literal["localization"] = "localization"  # type: ignore[assignment]
    data: LocalizationData = LocalizationData()
    localizer: LocalizerOptions = LocalizerOptions()

    def filled_in(self, weights: Description, labels: tuple[str, ...]) -> Self:
        """Returns a copy as `Config.filled_in`; weights of a localizer determine its options too."""
        config = super().filled_in(weights, labels)
        return config._with_options_of(LocalizerOptions.model_validate(weights.head)) if weights.head else config

    def filled_in_as(self, run: Self) -> Self:
        """Returns a copy as `Config.filled_in_as`."""
        return super().filled_in_as(run)._with_options_of(run.localizer)

    def _with_options_of(self, options):
        own = {*_OF_RECIPES, *self.localizer.model_fields_set}
        theirs = {name: getattr(options, name) for name in LocalizerOptions.model_fields if name not in own}
        return self.model_copy(update={"localizer": self.localizer.model_copy(update=theirs)})

    @model_validator(mode="after")
    def _possible(self):
        if self.train.remat:
            raise problem(["train", "remat"], "is not possible with the task localization")
        stages = len(self.model.spec.depths)
        if (self.localizer.stage or 1) > stages:
            raise problem(["localizer", "stage"], f"{self.model.spec.name} has {stages} stages")
        return self
