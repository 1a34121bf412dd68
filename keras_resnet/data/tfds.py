"""Loads data sets of TensorFlow Datasets by name: `tfds:cifar10`, `tfds:imagenet2012`, `tfds:coco/2017`.

Images of one size are loaded into memory; others are read record by record and decoded when they are cropped.
`tfds_objects` reads the sets with boxes.
"""

import os

import numpy as np
import tensorflow as tf

from keras_resnet.config import Data
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import ImageSet, Split, split_of_arrays
from keras_resnet.data.pipeline import reason
from keras_resnet.data.records import Records, index_records, reader
from keras_resnet.data.tfds_objects import has_objects, load_objects
from keras_resnet.errors import ConfigError, DataError, needs, suggest

IN_MEMORY = 2 * 10**9  # bytes of pixels up to which a split is decoded into memory
_SPLITS = ("train", "validation", "test")


def load_tfds(data: Data) -> ImageSet:
    """Returns the set's own splits, and held-out splits if it lacks them.

    A set with labels and boxes gives boxes to the tasks of boxes, and labels to other tasks.

    Raises:
        ConfigError: TensorFlow Datasets has no such set, or it has neither labeled images nor objects with boxes.
        DataError: the set is missing and cannot be prepared.
    """
    name = data.name.partition(":")[2]
    builder = _prepared(name, data)
    keys = _keys(builder.info)
    if has_objects(builder.info.features) and (data.wants_boxes or not keys):
        records = {split: _records(builder, split) for split in _SPLITS if split in builder.info.splits}
        _require_train(records, builder, data)
        return load_objects(builder, data, records)
    if not keys:
        raise ConfigError(
            f"data.name: {data.name}: has neither one label for each image nor objects with bbox and label"
        )
    image_key, label_key = keys
    image, label = builder.info.features[image_key], builder.info.features[label_key]
    height, width, channels = image.shape
    in_memory = None not in (height, width)
    splits = {}
    for split in _SPLITS:
        if split in builder.info.splits:
            pixels = builder.info.splits[split].num_examples * (height or 0) * (width or 0) * channels
            load = _load_arrays if in_memory and pixels <= IN_MEMORY else _read_records
            splits[split] = load(builder, split, image_key, label_key)
    _require_train(splits, builder, data)
    splits = {split: each for split, each in splits.items() if split == "train" or _is_labeled(each)}
    splits = {split: each.with_labels_below(label.num_classes) for split, each in splits.items()}
    splits = complete(splits, data.validation_fraction, data.test_fraction)
    return ImageSet(data.name, tuple(label.names), (height, width, channels), splits)


def _prepared(name, data):
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        if error.name != "tensorflow_datasets":
            raise
        raise ConfigError(f"data.name: {data.name}: {needs('tensorflow-datasets', 'datasets')}") from None

    tfds.core.utils.gcs_utils._is_gcs_disabled = True  # the metadata of prepared sets is on the disk
    try:
        builder = tfds.builder(name, data_dir=data.directory)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        raise ConfigError(f"data.name: {data.name}: unknown set; {_nearest(name, known)}") from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"data.name: {data.name}: {str(error).splitlines()[0]}") from None
    if os.path.isdir(builder.data_dir):
        return builder
    if not data.download:
        raise DataError(f"data.name: {data.name}: is not prepared in {builder.data_dir}, and data.download is false")
    try:
        builder.download_and_prepare()
    except Exception as error:  # any failure of a site, a disk or a checksum
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise DataError(f"data.name: {data.name}: cannot be prepared in {builder.data_dir}: {reason}") from None
    return builder


def _nearest(name, known):
    hint = suggest(name, known)
    return hint if hint.startswith("did you mean") else "https://www.tensorflow.org/datasets/catalog lists all"


def _require_train(splits, builder, data):
    if "train" not in splits:
        raise ConfigError(f"data.name: {data.name}: has no split named train, only {', '.join(builder.info.splits)}")


def _keys(info):
    """Returns (image key, label key) of a set of labeled images; None for other sets."""
    from tensorflow_datasets.core import features

    keys = info.supervised_keys
    kinds = [type(info.features[key]) if isinstance(key, str) else None for key in keys or ()]
    return keys if kinds == [features.Image, features.ClassLabel] else None


def _load_arrays(builder, split, image_key, label_key):
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    try:
        batches = [(each[image_key].numpy(), each[label_key].numpy()) for each in dataset.batch(1000)]
    except tf.errors.OpError as error:
        raise DataError(f"{builder.data_dir}: {split} cannot be read: {reason(error)}") from None
    images, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    return split_of_arrays(images, labels, f"{builder.name} {split}")


def _records(builder, split) -> Records:
    import tensorflow_datasets as tfds

    kind = builder.info.file_format
    if kind not in (None, tfds.core.file_adapters.FileFormat.TFRECORD):
        raise DataError(f"{builder.data_dir}: is prepared as {kind.value}; prepare it as tfrecord in another directory")
    return index_records([str(path) for path in builder.info.splits[split].filepaths])


def _read_records(builder, split, image_key, label_key):
    import tensorflow_datasets as tfds

    records = _records(builder, split)
    record = reader(records)
    encoded = {image_key: tfds.decode.SkipDecoding()}

    def read(index):
        features = builder.info.features.deserialize_example(record(index), decoders=encoded)
        return features[image_key], tf.cast(features[label_key], tf.int32)

    return Split(len(records), read, records.source)


def _is_labeled(split):
    """Returns whether the first label is valid: ImageNet's test images have -1."""
    return split.size > 0 and int(split.read(tf.constant(0, tf.int64))[1]) >= 0
