"""The configuration group `data`."""

import json
import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from keras_resnet.config.fields import MAX_CHANNELS, Group, problem
from keras_resnet.config.labels import CsvColumns, Sampling
from keras_resnet.description import ExifOrientation, ImageSize
from keras_resnet.errors import suggest

IMAGE_SETS = (
    "digits",
    "scene_digits",
    "scenes",
    "scene_objects",
    "synthetic",
    "tfds:NAME",
    "folder:PATH",
    "csv:PATH",
    "coco:PATH",
    "voc:PATH",
    "imagenet_det:PATH",
    "imagenet_loc:PATH",
    "annotated:PATH",
    "tfrecord:PATH",
)
# Kinds whose images all have boxes; tfds has sets with labels and with boxes.
BOX_SETS = ("scenes", "scene_objects", "coco", "voc", "imagenet_det", "imagenet_loc", "annotated")
_FOR_COLORS = ("pca_lighting", "randaugment_num_ops", "auto_augment", "random_erasing")  # augmentations
LISTED_SETS = ("voc", "imagenet_det")  # kinds whose splits data.split_lists may name
CSV_SET = "csv"  # the kind that data.csv is for


# Names of keras_resnet.data.policies.POLICIES.
AUGMENTATION_POLICIES = ("trivial_augment_wide", "autoaugment_imagenet", "autoaugment_cifar10", "augmix")


def _image_set(value):
    kind, colon, rest = value.partition(":")
    allowed = {name.partition(":")[0]: name for name in IMAGE_SETS}
    if kind not in allowed:
        raise PydanticCustomError("unknown_name", "{hint}", {"hint": suggest(value, IMAGE_SETS)})
    if (":" in allowed[kind]) != bool(colon and rest):
        raise PydanticCustomError("unknown_name", "{hint}", {"hint": f'expected "{allowed[kind]}"'})
    return value


def _service(value):
    if value is not None and not re.fullmatch(r"grpc://.+:\d+", value):
        raise PydanticCustomError("unknown_name", "{hint}", {"hint": 'expected "grpc://HOST:PORT"'})
    return value


def _image_size(value):
    if value is None:
        return value
    sides = value if isinstance(value, list | tuple) else [value]
    if len(sides) not in (1, 2) or not all(type(side) is int and 8 <= side <= _LARGEST for side in sides):
        given = json.dumps(value, default=str)
        raise problem([], f"expected a whole number >= 8 and <= {_LARGEST}, or [height, width] of such, got {given}")
    return sides[0] if sides[0] == sides[-1] else tuple(sides)


_LARGEST = 2048
_SIDE_SCHEMA = {"type": "integer", "minimum": 8, "maximum": _LARGEST}
_SIZE_SCHEMA = [_SIDE_SCHEMA, {"type": "array", "items": _SIDE_SCHEMA, "minItems": 2, "maxItems": 2}, {"type": "null"}]
_Size = Annotated[ImageSize | None, BeforeValidator(_image_size), WithJsonSchema({"anyOf": _SIZE_SCHEMA})]


class Data(Group):
    """The data set, its splits and the augmentation of training images."""

    wants_boxes: ClassVar[bool] = False  # of sets that have labels and boxes
    wants_several_labels: ClassVar[bool] = False  # of sets that may have more than one label for an image

    name: Annotated[str, AfterValidator(_image_set)] = Field(
        "digits",
        description="The data set. digits: scikit-learn's digits, without download. scene_digits: these digits painted "
        "on photographs, in color. scenes: several of them in an image, with boxes. scene_objects: one large one in an "
        "image, with its box. synthetic: generated images. "
        "tfds:NAME: from TensorFlow Datasets. folder:PATH: one folder per class. "
        "csv:PATH: a CSV file of images and labels, or a folder with Hugging Face's metadata files. "
        "coco:PATH and voc:PATH: images and boxes in the layout of COCO and of Pascal VOC. "
        "imagenet_det:PATH: ImageNet's data of 200 classes. "
        "imagenet_loc:PATH and annotated:PATH: images of one class with boxes, of ImageNet and of a folder. "
        "tfrecord:PATH: files in the ImageNet layout, or with boxes in that of tf-models-official.",
    )
    csv: CsvColumns = Field(CsvColumns(), description="csv: the columns of the file, and the places of its images.")
    sampling: Sampling = Field(
        "natural",
        description="Shares of the classes in an epoch of training images. natural: those of the data set, each image "
        "once. balanced: equal ones. sqrt: in proportion to the square root of a class's number of images.",
    )
    directory: str | None = Field(
        None, description="tfds: the folder of prepared data sets. null: ~/tensorflow_datasets."
    )
    download: bool = Field(True, description="tfds: download and prepare a missing data set.")
    classes: int | None = Field(
        None, ge=1, le=10**6, description="Number of classes, for synthetic and for tfrecord without a labels.txt."
    )
    validation_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the training images for validation, if the data set has no validation split. 0: validate "
        "on the test split.",
    )
    test_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the training images for testing, if the data set has only training images.",
    )
    on_unreadable_image: Literal["fail", "skip"] = Field(
        "fail", description="Reaction to an unreadable image. fail: stop and name it. skip: skip it and name it."
    )
    max_skipped: int = Field(
        100, ge=0, description="With on_unreadable_image: skip, the largest number of skipped images of a run."
    )
    tf_data_service: Annotated[str | None, AfterValidator(_service)] = Field(
        None, description="Dispatcher of a tf.data service that prepares the batches: grpc://HOST:PORT."
    )

    image_size: _Size = Field(
        None,
        description="Height and width of the network's input in pixels: 224, or [128, 256] if they differ. null: those "
        "of the data set or of the network.",
    )
    channels: int | None = Field(
        None,
        ge=4,
        le=MAX_CHANNELS,
        description="folder: read .npy and TIFF files of this many channels, such as multi-spectral images, in their "
        "own units; model.mean and model.std have a number per channel. null: images in color.",
    )
    exif_orientation: ExifOrientation = Field(
        "apply",
        description="apply: turn JPEGs upright by their EXIF data, as viewers do. ignore: read them as stored.",
    )
    train_image_size: _Size = Field(
        None,
        description="Height and width of training images, if they differ from those of evaluation. null: image_size.",
    )
    crop: Literal["center", "scale_jitter", "random_resized"] = Field(
        "center",
        description="Crop of training images. center: as in evaluation. scale_jitter: a square of image_size after "
        "resizing the shorter side to a random length in resize_range. random_resized: a random area and aspect ratio.",
    )
    resize_range: tuple[Annotated[int, Field(ge=8, le=4096)], ...] = Field(
        (256, 480), strict=False, description="For crop: scale_jitter, the smallest and largest shorter side."
    )
    area_range: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.08, 1.0), strict=False, description="For crop: random_resized, the smallest and largest share of the area."
    )
    random_crop_padding: int = Field(
        0, ge=0, le=512, description="Pixels of zero padding on every side before a random crop of the image's size."
    )
    horizontal_flip: bool = Field(False, description="Flip training images horizontally with probability 0.5.")
    pca_lighting: bool = Field(
        False, description="Add random multiples of ImageNet's principal color components to every image (AlexNet)."
    )
    randaugment_num_ops: int = Field(0, ge=0, le=10, description="RandAugment: operations per image. 0: none.")
    randaugment_magnitude: float = Field(10, ge=0, le=10, description="RandAugment: strength of the operations.")
    randaugment_magnitude_std: float = Field(
        0.0, ge=0, le=10, description="RandAugment of timm: standard deviation of the strength. tf_models: 0."
    )
    randaugment_operations: Literal["tf_models", "timm"] = Field(
        "tf_models",
        description="RandAugment: its operations and their strengths. timm: those of its `inc1`, each with probability "
        "0.5.",
    )
    auto_augment: Literal[AUGMENTATION_POLICIES] | None = Field(  # type: ignore[valid-type]
        None,
        description="A policy in place of RandAugment. trivial_augment_wide: Müller and Hutter 2021. "
        "autoaugment_imagenet, autoaugment_cifar10: Cubuk et al. 2018. augmix: Hendrycks et al. 2020. null: none.",
    )
    random_erasing: float = Field(0.0, ge=0, le=1, description="Probability of replacing a random rectangle by noise.")
    random_erasing_fill: Literal["noise", "mean"] = Field(
        "noise", description="Random erasing: mean replaces by the mean color, which normalization makes 0."
    )
    mixup: float = Field(0.0, ge=0, description="Mixup: alpha of the Beta distribution. 0: none.")
    cutmix: float = Field(
        0.0,
        ge=0,
        description="CutMix: alpha of the Beta distribution. 0: none. With mixup too, one of them is drawn.",
    )

    mixing: Literal["pair", "sample", "batch"] = Field(
        "pair",
        description="What has one draw of mixup or CutMix: a pair of neighbors, a sample, which is mixed with its "
        "neighbor, or all samples of a step.",
    )
    repeated_augmentation: int = Field(
        1,
        ge=1,
        le=64,
        description="Augmented copies of each image in a step (Hoffer et al. 2020). An epoch has as many samples as "
        "without, of fewer images.",
    )

    @model_validator(mode="after")
    def _ranges(self):
        if self.random_erasing_fill != "noise" and not self.random_erasing:
            raise problem(["random_erasing_fill"], "needs data.random_erasing")
        if self.auto_augment and self.randaugment_num_ops:
            raise problem(["auto_augment"], "is in place of data.randaugment_num_ops; give one of the two")
        if self.randaugment_operations == "tf_models" and self.randaugment_magnitude_std:
            raise problem(["randaugment_magnitude_std"], "needs data.randaugment_operations: timm")
        for name in ("resize_range", "area_range"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise problem([name], f"expected two numbers, the smaller first, got {list(values)}")
        if self.name == "synthetic" and self.on_unreadable_image == "skip":
            raise problem(["on_unreadable_image"], "synthetic images cannot fail; omit it")
        if self.channels:
            self._check_channels()
        if self.wants_boxes and self.sampling != "natural":
            raise problem(["sampling"], "is for images of one class each, not for images with boxes")
        if self.csv != CsvColumns() and self.name.partition(":")[0] != CSV_SET:
            raise problem(["csv"], f"is for csv:PATH, not for {self.name}; omit it")
        if self.wants_boxes and isinstance(self.image_size, tuple):
            raise problem(
                ["image_size"], f"networks of boxes take squares: expected one number, got {[*self.image_size]}"
            )
        if self.wants_boxes and self.exif_orientation == "ignore":
            raise problem(["exif_orientation"], "boxes are in pixels of the upright image; omit it")
        return self

    def _check_channels(self):
        if self.wants_boxes or not self.name.startswith(("folder:", "csv:")):
            what = f"is for the classification of folder:PATH and csv:PATH, not for {self.name}; omit it"
            raise problem(["channels"], what)
        for name in _FOR_COLORS:
            if getattr(self, name):
                raise problem([name], "is for images in color, with values from 0 to 255; omit it", ["channels"])
        if self.tf_data_service:
            raise problem(["tf_data_service"], "its workers do not read .npy and TIFF; omit it", ["channels"])
