"""The options of Faster R-CNN: features, anchors, proposals and heads, the group `detector` of a configuration."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from keras_resnet.config.fields import Group, problem

_Size = Annotated[float, Field(gt=0, le=4096)]
# What the design c4 has none of: options of the feature pyramid and of the heads on it.
_OF_PYRAMIDS = (
    *("min_level", "extra_level", "fpn_channels", "canonical_level", "normalization"),
    *("box_convolutions", "box_layers", "box_features", "mask_roi_size", "mask_canonical_size"),
    "mask_stem_features",
)
# Options of training and of answers, and whether there are masks; weights of a detector determine the others.
OF_RECIPES = (
    "masks",
    *(f"anchor_{name}" for name in ("samples", "positive_fraction", "positive_iou", "negative_iou")),
    *("ignore_crossing_anchors", "rpn_normalizer"),
    *("proposals_before_nms", "proposals", "proposal_nms_iou"),
    *(f"roi_{name}" for name in ("samples", "positive_fraction", "positive_iou", "negative_iou")),
    *("score_threshold", "nms_iou", "detections"),
)


def _by_design(fpn, c4, **arguments):
    """Returns a field whose default depends on the design."""
    return Field(
        default_factory=lambda values: c4 if values.get("design") == "c4" else fpn,
        json_schema_extra={"default": fpn},
        **arguments,
    )


class DetectorOptions(Group):
    """The features, anchors, proposals and heads of Faster R-CNN."""

    design: Literal["fpn", "c4"] = Field(
        "fpn",
        description="fpn: a feature pyramid (Lin et al. 2017). c4: proposals from the stage before the last, and the "
        "last stage for each RoI, as in the paper.",
    )
    min_level: int = Field(2, ge=1, le=6, description="First level of the pyramid; its stride is 2 ** min_level.")
    extra_level: bool = Field(True, description="One more level of proposals, of half the last resolution.")
    fpn_channels: int = Field(256, ge=1, description="Channels of every level.")
    anchor_sizes: tuple[Annotated[tuple[_Size, ...], Field(strict=False)], ...] = _by_design(
        ((32,), (64,), (128,), (256,), (512,)),
        ((128, 256, 512),),
        strict=False,
        description="For each level, the square roots of the anchors' areas in pixels. c4 has one level: by default "
        "[[128, 256, 512]].",
    )
    anchor_ratios: tuple[_Size, ...] = Field((0.5, 1.0, 2.0), strict=False, description="Anchors' height / width.")
    anchor_convention: Literal["tf_models", "torchvision", "detectron2"] = Field(
        "tf_models", description="Where anchors are in their cell, and whether they are rounded, as in that library."
    )
    anchor_samples: int = Field(256, ge=1, description="Anchors per image in the loss of proposals.")
    anchor_positive_fraction: float = Field(0.5, gt=0, le=1, description="Greatest share of positives among them.")
    anchor_positive_iou: float = Field(0.7, gt=0, le=1, description="Anchors that overlap an object more are positive.")
    anchor_negative_iou: float = Field(0.3, ge=0, le=1, description="Anchors that overlap objects less are negative.")
    ignore_crossing_anchors: bool = Field(
        False, description="Leave anchors that cross the image's border out of the loss, as Ren et al. 2015."
    )
    proposals_before_nms: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (2000, 1000), strict=False, description="Best anchors per level, in training and in detection."
    )
    proposals: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1000, 1000), strict=False, description="Proposals per image after suppression, in training and in detection."
    )
    rpn_channels: int | None = Field(
        None,
        ge=1,
        description="Channels of the region proposal network's convolutions. null: fpn_channels, 512 with c4.",
    )
    rpn_normalizer: Literal["samples", "paper"] = Field(
        "samples",
        description="What the losses of proposals are divided by. samples: the sampled anchors. paper: anchor_samples "
        "for scores and a tenth of the anchors' positions for boxes, as Ren et al. 2015.",
    )
    rpn_convolutions: int = Field(1, ge=1, le=16, description="3x3 convolutions of the region proposal network.")
    min_proposal_size: float = Field(0.0, ge=0, description="Proposals with a shorter side, in pixels, are dropped.")
    proposal_nms_iou: float = Field(0.7, gt=0, le=1, description="Proposals of a level that overlap more are one.")
    roi_samples: int = Field(512, ge=1, description="Proposals per image in the loss of the box head.")
    roi_positive_fraction: float = Field(0.25, gt=0, le=1, description="Greatest share of positives among them.")
    roi_positive_iou: float = Field(0.5, gt=0, le=1, description="Proposals that overlap an object more are positive.")
    roi_negative_iou: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (0.0, 0.5), strict=False, description="The range of overlaps of negative proposals. Fast R-CNN: [0.1, 0.5]."
    )
    roi_size: int = _by_design(7, 14, ge=1, le=64, description="Height and width of a RoI's features; with c4 14.")
    pooling: Literal["align", "max"] = Field(
        "align", description="align: RoIAlign. max: RoI max pooling as in Fast R-CNN, with c4."
    )
    sampling_ratio: int = Field(2, ge=1, le=8, description="RoIAlign: points per side of each of its bins.")
    roi_aligned: bool = Field(
        True, description="RoIAlign: false leaves out the shift by half a cell, as the weights of torchvision need it."
    )
    canonical_size: _Size = Field(
        224,
        description="Side in pixels of a box that belongs to canonical_level, and that RoIs should have at one of "
        "several scales.",
    )
    canonical_level: int = Field(4, ge=1, le=6, description="The level of boxes of canonical_size.")
    context: bool = Field(
        False,
        description="The siblings also have the features of the whole image as a RoI (He et al. 2015, appendix B).",
    )
    box_convolutions: int = Field(0, ge=0, le=16, description="3x3 convolutions of the box head, before its layers.")
    box_layers: int = Field(2, ge=1, le=16, description="Fully connected layers of the box head.")
    box_features: int = Field(1024, ge=1, description="Features of each of these layers.")
    normalization: Literal["none", "batch"] = Field(
        "none",
        description="batch: batch normalization after each convolution of the pyramid and of the heads, not of "
        "the region proposal network.",
    )
    background_outputs: bool = Field(
        False,
        description="Boxes and masks have outputs for the background too, which nothing reads; as in torchvision.",
    )
    unused_outputs: int = Field(
        0, ge=0, le=1000, description="Outputs that belong to no class, after the classes; they are never answered."
    )
    masks: bool = Field(False, description="Predict a mask of each object too, as Mask R-CNN (He et al. 2017).")
    mask_roi_size: int = Field(
        14, ge=1, le=64, description="Height and width of a RoI's features for its mask, which is twice as large."
    )
    mask_canonical_size: _Size | None = Field(
        None,
        description="canonical_size for masks; a larger one takes their features from finer levels. null: the same.",
    )
    mask_stem_features: bool = Field(
        False,
        description="Masks also have the features of the stem, before its pooling, at half of the image's resolution; "
        "for small objects.",
    )
    mask_convolutions: int = _by_design(4, 0, ge=0, le=16, description="3x3 convolutions of the mask head; with c4 0.")
    mask_channels: int = Field(256, ge=1, description="Their channels.")
    min_detection_size: float = Field(0.0, ge=0, description="Detections with a shorter side, in pixels, are dropped.")
    score_threshold: float = Field(0.05, ge=0, lt=1, description="Least score of a detection.")
    nms_iou: float = Field(0.5, gt=0, le=1, description="Detections of a class that overlap more are one.")
    detections: int = Field(100, ge=1, description="Greatest number of detections per image.")

    @model_validator(mode="after")
    def _consistent(self):
        if len({len(sizes) for sizes in self.anchor_sizes}) != 1 or not self.anchor_sizes[0]:
            raise problem(["anchor_sizes"], f"expected as many sizes for every level, got {list(self.anchor_sizes)}")
        if self.mask_stem_features and not self.masks:
            raise problem(["mask_stem_features"], "is for detectors with masks: true")
        if not self.anchor_ratios:
            raise problem(["anchor_ratios"], "expected at least one")
        if self.anchor_negative_iou > self.anchor_positive_iou:
            raise problem(
                ["anchor_negative_iou"],
                f"{self.anchor_negative_iou} is more than anchor_positive_iou {self.anchor_positive_iou}",
            )
        for name in ("proposals_before_nms", "proposals", "roi_negative_iou"):
            if len(getattr(self, name)) != 2:
                raise problem([name], f"expected two numbers, got {list(getattr(self, name))}")
        return self

    @model_validator(mode="after")
    def _has_positives(self):
        for name in ("anchor", "roi"):
            samples, fraction = getattr(self, f"{name}_samples"), getattr(self, f"{name}_positive_fraction")
            if int(samples * fraction) < 1:
                raise problem(
                    [f"{name}_samples"], f"{samples} with {name}_positive_fraction {fraction} have no positive one"
                )
        low, high = self.roi_negative_iou
        if not low <= high <= self.roi_positive_iou:
            raise problem(
                ["roi_negative_iou"],
                f"expected two increasing numbers up to roi_positive_iou {self.roi_positive_iou}, got {[low, high]}",
            )
        return self

    @model_validator(mode="after")
    def _of_one_design(self):
        if self.design == "fpn" and self.pooling != "align":
            raise problem(["pooling"], f"{self.pooling} needs detector.design: c4")
        for name in _OF_PYRAMIDS if self.design == "c4" else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise problem([name], "is for detector.design: fpn")
        return self
