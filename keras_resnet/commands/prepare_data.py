"""Converts a folder of images, with one folder per class, or a CSV file's images to TFRecords in the ImageNet layout.

    keras-resnet prepare-data photos records --max_side=512
    keras-resnet prepare-data csv:labels.csv records
    keras-resnet prepare-data coco:PATH records
    keras-resnet prepare-data voc:VOCdevkit records --set "data.split_lists={train: [VOC2007/trainval]}"

Train on them with --set data.name=tfrecord:records. The folder may contain train, val and test; otherwise the same
images are held out as for data.name=folder:photos. The images of coco:PATH, voc:PATH and imagenet_det:PATH keep their
boxes, in tf-models-official's layout, and with --masks the masks of coco:PATH.
"""

import os
import shlex
import sys
import time

from absl import flags
from rich.console import Console

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.commands.verify_data import with_assignments
from keras_resnet.config import BOX_SETS, validate
from keras_resnet.errors import ConfigError
from keras_resnet.tasks import DEFAULT_TASK
from keras_resnet.yaml_files import Located

# Recipes of sets of images of one class, by the kind of the set.
_RECIPES = {
    "folder": "folder/scratch",
    "csv": "folder/scratch",
    "imagenet_loc": "localization/imagenet_r101",
    "annotated": "localization/imagenet_r101",
}


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_integer(
        "max_side",
        None,
        "Resize images whose height or width is larger, in pixels; default none.",
        lower_bound=8,
        flag_values=options,
    )
    flags.DEFINE_integer(
        "quality",
        90,
        "JPEG quality of the images resized for --max_side.",
        lower_bound=1,
        upper_bound=100,
        flag_values=options,
    )
    flags.DEFINE_integer(
        "shard_size_mb", 100, "Approximate size of one file in megabytes.", lower_bound=1, flag_values=options
    )
    flags.DEFINE_bool(
        "masks", False, "Store the masks of coco:PATH too, and leave out objects without one.", flag_values=options
    )
    flags.DEFINE_float("validation_fraction", 0.1, "As data.validation_fraction for training.", flag_values=options)
    flags.DEFINE_float("test_fraction", 0.1, "As data.test_fraction for training.", flag_values=options)
    flags.DEFINE_enum(
        "on_unreadable_image",
        "fail",
        ["fail", "skip"],
        "fail stops at an unreadable image, skip skips it.",
        flag_values=options,
    )
    flags.DEFINE_multi_string("set", [], "data.key=value, as for training; repeat for more.", flag_values=options)


def main(options, arguments):
    """Writes the files and prints their contents."""
    require_tensorflow_backend()
    if len(arguments) != 2:
        raise ConfigError("expected two folders, for example: keras-resnet prepare-data photos records")
    if options["quality"].present and options.max_side is None:
        raise ConfigError(f"--quality={options.quality}: requires --max_side")
    root, output = arguments
    data = _data(root, options)
    # libjpeg's warnings about damaged files would mix with the lines that name these files.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # decoding needs no GPU, and another run may use it
    from keras_resnet.console import tracked
    from keras_resnet.data.image_set import passed_over_text
    from keras_resnet.data.prepare import prepare

    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()
    prepared = prepare(
        data,
        output,
        masks=options.masks,
        max_side=options.max_side,
        quality=options.quality,
        shard_bytes=options.shard_size_mb * 10**6,
        warn=lambda line: print(f"WARNING: {line}", file=sys.stderr, flush=True),
        track=lambda images, total: tracked(images, total, console, "prepared"),
    )
    splits = ", ".join(f"{name} {count:,}" for name, count in prepared.images.items())
    print(f"{sum(prepared.images.values()):,} images ({splits}) in {time.monotonic() - began:.0f} seconds: {output}")
    if prepared.skipped:
        print(f"  skipped   {prepared.skipped:,} unreadable images")
    if prepared.passed_over:
        print(f"  ignored   {passed_over_text(prepared.passed_over)}")
    before, after = prepared.bytes_before / 1e6, prepared.bytes_after / 1e6
    print(f"  images    {before:,.1f} MB")
    print(f"  records   {after:,.1f} MB in {prepared.files:,} files")
    # Without these settings, training would hold out images for splits that this command left empty.
    missing = [] if "validation" in prepared.images else [n for n in ("validation", "test") if n not in prepared.images]
    sets = [f"data.name=tfrecord:{output}", *(f"data.{name}_fraction=0" for name in missing)]
    sets += [f"data.exif_orientation={data.exif_orientation}"] * (data.exif_orientation != "apply")
    detector = "detection/coco_mask_rcnn_r50_fpn" if options.masks else "detection/coco_faster_rcnn_r50_fpn"
    recipe = _RECIPES.get(data.name.partition(":")[0], detector)
    print(f"\nNext: keras-resnet train --config={recipe} " + " ".join(f"--set {shlex.quote(each)}" for each in sets))


def _data(root, options):
    with_boxes = root.partition(":")[0] in BOX_SETS and ":" in root
    flagged = ("validation_fraction", "test_fraction", "on_unreadable_image")
    named = with_boxes or root.startswith("csv:")
    values = {"name": root if named else f"folder:{root}"} | {name: options[name].value for name in flagged}
    marks = {("data", name): f"--{name}" for name in flagged} | {("data", "name"): root}
    task = "detection" if with_boxes else DEFAULT_TASK
    located = Located({"task": task, "data": values, "train": {"steps": 1}}, marks)
    data = validate(with_assignments(located, options.set)).data
    if data.name != values["name"]:
        raise ConfigError(f"--set=data.name={data.name}: the data set is the first argument; omit it")
    return data
