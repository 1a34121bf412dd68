"""Defines the metrics of localization. Imports no TensorFlow."""

from keras_resnet.task import Metric

LOSSES = ("class_loss", "rpn_score_loss", "rpn_box_loss", "roi_score_loss", "roi_box_loss")

METRICS = {
    "topk_localization_error": Metric(unit="%", precedence=1, compared=True, short="top-k loc", axis="error (%)"),
    "oracle_error": Metric(unit="%", precedence=2, compared=True, short="true class", axis="error, true class (%)"),
    "top1_localization_error": Metric(unit="%", short="top-1 loc"),
    "error": Metric(unit="%", compared=True, short="top-1 class"),
    "topk_error": Metric(unit="%", short="top-k class"),
    "center_box_error": Metric(unit="%", short="center box"),
    "loss": Metric(axis="loss", log_axis=True),
    **{name: Metric() for name in LOSSES},
}


def summarize(sums: dict[str, float]) -> dict[str, float]:
    """Returns the average losses, and the training error in percent, from sums over images."""
    images = sums["images"]
    found = {name: sums[name] / images for name in ("loss", *LOSSES) if name in sums and images}
    return found | ({"error": 100 * sums["wrong"] / images} if "wrong" in sums and images else {})
