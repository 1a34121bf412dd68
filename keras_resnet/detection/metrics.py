"""Defines the metrics of object detection. Imports no TensorFlow."""

from keras_resnet.task import Metric

LOSSES = ("rpn_score_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss")

METRICS = {
    "ap": Metric(better="higher", precedence=1, short="AP", axis="AP"),
    "ap50": Metric(better="higher", precedence=2, compared=True, short="AP50"),
    "ap75": Metric(better="higher", short="AP75"),
    "ap_small": Metric(better="higher", short="AP small"),
    "ap_medium": Metric(better="higher", short="AP medium"),
    "ap_large": Metric(better="higher", short="AP large"),
    "ar1": Metric(better="higher", short="AR 1"),
    "ar10": Metric(better="higher", short="AR 10"),
    "ar100": Metric(better="higher", short="AR 100"),
    "ar_max": Metric(better="higher", short="AR max"),
    "mask_ap": Metric(better="higher", compared=True, short="mask AP"),
    "mask_ap50": Metric(better="higher", short="mask AP50"),
    "mask_ap75": Metric(better="higher", short="mask AP75"),
    "mask_ap_small": Metric(better="higher", short="mask AP small"),
    "mask_ap_medium": Metric(better="higher", short="mask AP medium"),
    "mask_ap_large": Metric(better="higher", short="mask AP large"),
    "voc07_ap": Metric(better="higher", short="VOC07 AP"),
    "voc12_ap": Metric(better="higher", short="VOC12 AP"),
    "imagenet_det_ap": Metric(better="higher", short="DET AP"),
    "loss": Metric(axis="loss", log_axis=True),
    **{name: Metric() for name in LOSSES},
}


def summarize(sums: dict[str, float]) -> dict[str, float]:
    """Returns the average losses from their sums over images; nothing for sums without losses."""
    return {name: sums[name] / sums["images"] for name in ("loss", *LOSSES) if name in sums and sums["images"]}
