"""Provides the table of published detectors: the trunk, the options and the classes of each. Imports nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The categories of COCO by their ids, from 1 to 90; ten ids have none.
_CATEGORIES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,backpack,umbrella,,,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,,dining table,,,toilet,,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO_CATEGORIES = tuple(_CATEGORIES.split(","))
COCO_LABELS = tuple(filter(None, COCO_CATEGORIES))


@dataclass(frozen=True, kw_only=True)
class DetectorRow:
    """A published detector.

    Attributes:
        network: the trunk, a name in `SPECS`.
        version: the version of the trunk.
        parameters: the number that its publisher states.
        options: values of `keras_resnet.config.detector_options.DetectorOptions` that differ from the defaults.
        epsilon: of the trunk's batch normalization in its published weights.
        labels: the class names.
        image_size: side of the square that images are fitted into.
    """

    network: str = "resnet50"
    version: str = "1.5"
    parameters: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    epsilon: float = 1e-5
    labels: tuple[str, ...] = COCO_LABELS
    image_size: int = 1088


# What torchvision's detectors have in common. Images have a shorter side of 800 pixels there and a longer one of 1333
# at most: 800 x 1066 for a photograph of 3:4, which in a square of 1088 pixels has 816 x 1088.
TORCHVISION = {
    "anchor_convention": "torchvision",
    "proposals": (2000, 1000),
    "min_proposal_size": 1e-3,
    "roi_aligned": False,
    "background_outputs": True,
    "min_detection_size": 1e-2,
}
_VERSION_2 = TORCHVISION | {"rpn_convolutions": 2, "box_convolutions": 4, "box_layers": 1, "normalization": "batch"}
COCO = {"unused_outputs": len(COCO_CATEGORIES) - len(COCO_LABELS)}

DETECTORS = {
    "fasterrcnn_resnet50_fpn": DetectorRow(parameters=41_755_286, options=TORCHVISION | COCO, epsilon=0.0),
    "fasterrcnn_resnet50_fpn_v2": DetectorRow(parameters=43_712_278, options=_VERSION_2 | COCO),
    "maskrcnn_resnet50_fpn": DetectorRow(
        parameters=44_401_393, options=TORCHVISION | COCO | {"masks": True}, epsilon=0.0
    ),
    "maskrcnn_resnet50_fpn_v2": DetectorRow(parameters=46_359_409, options=_VERSION_2 | COCO | {"masks": True}),
}
