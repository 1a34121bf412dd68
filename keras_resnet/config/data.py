"""The group `data`."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from keras_resnet.config.fields import Group, problem
from keras_resnet.errors import suggest

IMAGE_SETS = ("digits", "synthetic", "tfds:NAME", "folder:PATH", "tfrecord:PATH")


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


class Data(Group):
    """Which images, and how they are varied in training."""

    name: Annotated[str, AfterValidator(_image_set)] = Field(
        "digits",
        description="digits: scikit-learn's, no download. synthetic: made-up images. tfds:NAME: a set of TensorFlow "
        "Datasets. folder:PATH: a folder per class. tfrecord:PATH: files in the ImageNet layout.",
    )
    directory: str | None = Field(None, description="tfds: where prepared sets lie. null: ~/tensorflow_datasets.")
    download: bool = Field(True, description="tfds: download and prepare what is not there.")
    classes: int | None = Field(
        None, ge=1, le=10**6, description="tfrecord without a labels.txt, synthetic: the number of classes."
    )
    validation_fraction: float = Field(
        0.1, ge=0, lt=1, description="Of the training images, where the set has no validation images. 0: test on test."
    )
    test_fraction: float = Field(
        0.1, ge=0, lt=1, description="Of the training images, where the set has training images alone."
    )
    on_unreadable_image: Literal["fail", "skip"] = Field(
        "fail", description="An image that cannot be read. fail: stop, naming it. skip: leave it out, naming it."
    )
    max_skipped: int = Field(100, ge=0, description="With on_unreadable_image: skip, how many before the run stops.")
    tf_data_service: Annotated[str | None, AfterValidator(_service)] = Field(
        None, description="Dispatcher of a tf.data service that prepares batches: grpc://HOST:PORT."
    )

    image_size: int | None = Field(
        None,
        ge=8,
        le=2048,
        description="Height and width in pixels that the network sees. null: the set's own, or the network's.",
    )
    crop: Literal["center", "scale_jitter", "random_resized"] = Field(
        "center",
        description="Of training images. center: as in tests. scale_jitter: a square of image_size from the image with "
        "its shorter side in a random one of `resize_range`. random_resized: an area of random share and aspect ratio.",
    )
    resize_range: tuple[Annotated[int, Field(ge=8, le=4096)], ...] = Field(
        (256, 480), strict=False, description="For crop: scale_jitter, the least and the greatest shorter side."
    )
    area_range: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.08, 1.0), strict=False, description="For crop: random_resized, the least and the greatest share of the area."
    )
    random_crop_padding: int = Field(
        0, ge=0, le=512, description="Pixels of zeros on every side before a random crop of the image's size."
    )
    horizontal_flip: bool = Field(False, description="Mirror half of the training images left to right.")
    pca_lighting: bool = Field(
        False, description="Add a random multiple of ImageNet's principal colors to every image (AlexNet)."
    )
    randaugment_num_ops: int = Field(0, ge=0, le=10, description="RandAugment: operations on one image. 0: none.")
    randaugment_magnitude: float = Field(10, ge=0, le=10, description="RandAugment: their strength.")
    random_erasing: float = Field(0.0, ge=0, le=1, description="Random erasing: how often a rectangle becomes noise.")
    mixup: float = Field(0.0, ge=0, description="Mixup: alpha of the Beta distribution of the mix. 0: none.")
    cutmix: float = Field(0.0, ge=0, description="CutMix: the same; where both are given, pairs take one at random.")

    @model_validator(mode="after")
    def _ranges(self):
        for name in ("resize_range", "area_range"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise problem([name], f"expected two numbers, the smaller first, got {list(values)}")
        if self.name == "synthetic" and self.on_unreadable_image == "skip":
            raise problem(["on_unreadable_image"], "synthetic images cannot fail; leave it out")
        return self
