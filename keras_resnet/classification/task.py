"""Provides the classification task: a network that returns logits, cross entropy, and errors in percent."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.analysis.complexity import complexity
from keras_resnet.builder import build_described
from keras_resnet.classification import metrics
from keras_resnet.classification.class_weights import class_weights, weights_text
from keras_resnet.classification.teacher import Teacher
from keras_resnet.config import Config
from keras_resnet.config.model import WEIGHT_OPTIONS
from keras_resnet.data import pipeline, transforms
from keras_resnet.data.arrays import visible
from keras_resnet.data.augmentation import augment, mix_pairs, mix_shares
from keras_resnet.data.decode import decode
from keras_resnet.data.image_task import ImageTask
from keras_resnet.data.sources import load_image_set
from keras_resnet.description import Description, Preprocessing, different_classes, height_and_width
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.losses import LOSSES, distillation
from keras_resnet.model import per_channel
from keras_resnet.specs import SPECS
from keras_resnet.task import Metric
from keras_resnet.weights.loading import check_network, load_pretrained, set_pretrained


class Classification(ImageTask):
    """The `Task` of image classification.

    Args:
        config: the run's configuration.
        description: description of the network; default a new one from the configuration and its data set.

    Raises:
        ConfigError, DataError: the configuration does not fit the data set, or the data set does not fit the
            description.
    """

    config: Config
    table: Mapping[str, Metric] = metrics.METRICS
    _teacher: Teacher | None = None

    def __init__(self, config: Config, description: Description | None = None):
        keras.config.set_image_data_format("channels_last")  # the format of tf.data's images
        self.config = config
        self.metrics = self.table
        self.images = self._load(config.data)
        self._given = description
        if description and not description.labels:  # weights of other libraries rarely name their classes
            self._given = replace(description, labels=self.images.labels)
        self.labels = self.description.labels
        self._check_images()
        self.sizes = {name: split.size for name, split in self.images.splits.items()}
        self.train_size = self.sizes["train"]
        self.image_shape = self.description.preprocessing.image_shape
        self.train_image_size = height_and_width(config.data.train_image_size or self.image_shape[:2])
        if config.export.top_k and config.export.top_k > len(self.labels):
            raise ConfigError(
                f"export.top_k: {config.export.top_k} is more than the {len(self.labels)} classes of {config.data.name}"
            )

    def _load(self, data):
        """Returns the data set."""
        return load_image_set(data)

    @property
    def description(self) -> Description:
        """Returns the network, its preprocessing and its class names."""
        return self._given or _new_description(self.config, self.images)

    def _check_images(self):
        """Raises a `DataError` if the classes or the channels of the images are not the description's."""
        name, images, preprocessing = self.config.data.name, self.images, self.description.preprocessing
        difference = different_classes(images.labels, self.labels)
        if difference:
            raise DataError(f"data.name: {name}: its classes are not the model's: {difference}")
        if images.image_shape[0] and images.image_shape[2] != preprocessing.channels:  # others are decoded to fit
            channels = f"{images.image_shape[2]} channels, the model takes {preprocessing.channels}"
            raise DataError(f"data.name: {name}: its images have {channels}")

    def build_model(self) -> keras.Model:
        """Builds the model: images (N, H, W, C) in [0, 255] -> logits (N, classes)."""
        return self._build(None if self.train_image_size == self.image_shape[:2] else 0)

    def _build(self, image_size):
        return build_described(self.description, image_size, **self.config.model.training_arguments)

    def check_training(self):
        """Raises a `ConfigError` if crops, sampling, weights of classes or the teacher do not fit the data set."""
        super().check_training()
        self._check_crops(max(self.train_image_size))
        _ = self.class_weights
        self._load_teacher()  # and loads it again in the strategy's scope

    def prepare_training(self):
        """Loads the teacher, if any."""
        self._teacher = self._load_teacher()

    def _load_teacher(self):
        source = self.config.train.teacher
        return Teacher(source, self.labels, self.image_shape[2]) if source else None

    def overview(self, model):
        """Returns the network's cost, the sizes of the splits, and the classes."""
        cost = complexity(model if model.input_shape[1] else self._build(None))
        sizes = ", ".join(f"{size:,} {name}" for name, size in self.sizes.items())
        seen = "x".join(map(str, self.image_shape))
        if self.train_image_size != self.image_shape[:2]:
            seen += f", in training {'x'.join(map(str, (*self.train_image_size, self.image_shape[2])))}"
        return {
            "network": f"{cost.parameters:,} parameters, {cost.macs:,} MACs per image",
            "images": f"{sizes}; {len(self.labels)} classes; the network sees {seen}",
            **self.images.overview(),
            **weights_text(self.class_weights, self.labels),
            **self._soft_labels_text(),
            **self._overview_of_teacher(),
        }

    def _overview_of_teacher(self):
        train = self.config.train
        share = f"{train.teacher_weight:.0%} of the loss, temperature {train.teacher_temperature:g}"
        return {"teacher": f"{train.teacher}; {share}"} if train.teacher else {}

    def _soft_labels_text(self):
        probabilities = self.images.split("train").probabilities
        if probabilities is None or not self._has_soft_labels:
            return {}
        soft = int((probabilities.max(1) < 1).sum())
        return {"labels": f"soft of {soft:,} training images; evaluations count the most probable class"}

    @cached_property
    def class_weights(self) -> np.ndarray | None:
        """Returns the factors of the classes on the training loss (classes,); None if all are 1.

        Raises:
            ConfigError: a name is no class, or the training labels are not known without reading the images.
        """
        return class_weights(self.config.train.class_weights, self.labels, self.images.split("train").labels)

    def start_from(self, model):
        """Sets the weights of `model.weights`, if any, and returns a line that names them."""
        settings = self.config.model
        if not settings.weights:
            return None
        try:
            pretrained = load_pretrained(settings.weights, SPECS[settings.name])
            check_network(
                pretrained, settings.spec, {name: getattr(settings, name) for name in WEIGHT_OPTIONS}, settings.weights
            )
            reset_head = set_pretrained(model, pretrained, reset_head=settings.reset_head)
        except (ValueError, OSError) as error:
            raise ConfigError(f"model.weights: {error}") from None
        return (
            f"{settings.weights}, with a new classifier of {len(self.labels)} classes" * reset_head or settings.weights
        )

    @property
    def _mixes(self):
        return bool(self.config.data.mixup or self.config.data.cutmix)

    def example_batch(self, count):
        """Returns (images (count, H, W, C), captions) of the first training images, after augmentation."""
        images, targets = next(iter(self._train_batches(0, pipeline.Shard(0, 1, count))))[0]
        names = [[(self.labels[i], row[i]) for i in np.argsort(-row)[:2] if row[i]] for row in targets.numpy()]
        captions = [" + ".join(f"{n} {s:.0%}" if s < 1 else n for n, s in pairs) for pairs in names]
        images = images.numpy()
        return visible(images) if images.shape[-1] > 3 else images, captions

    def _augment(self, image, label, seed):
        size, channels, data = self.train_image_size, self.image_shape[2], self.config.data
        mean = per_channel(self.description.preprocessing.mean, channels)
        example = augment(image, size, channels, data, seed, mean), self._target(label)
        return (*example, mix_shares(size, data, seed, self.config.train.batch_size)) if self._mixes else example

    @property
    def _has_soft_labels(self):
        return self.images.target == "label" and self.images.split("train").probabilities is not None

    @property
    def _train_split(self):
        split = self.images.split("train")
        return split.with_soft_labels() if self._has_soft_labels else split

    def _target(self, label):
        """Returns the target (classes,) of a training image from its label, or from its probabilities."""
        return label if self._has_soft_labels else tf.one_hot(label, len(self.labels))

    def _finish(self, example, weights):
        if not self._mixes:
            return example, weights
        images, targets, shares = example
        return mix_pairs(images, targets, weights, shares, self.config.data.mixing == "sample"), weights

    def _prepare(self, image, label):
        preprocessing = self.description.preprocessing
        pixels = decode(image, self.image_shape[2], preprocessing.exif_orientation)
        return transforms.prepare(pixels, preprocessing), label

    def loss(self, model, batch):
        """model, batch -> (loss of each image (N,), sums to report)."""
        (images, targets), weights = batch
        logits = model(images, training=True)
        train = self.config.train
        losses = LOSSES[train.loss].function(targets, logits, train)
        if self.class_weights is not None:
            losses *= tf.linalg.matvec(tf.cast(targets, losses.dtype), tf.cast(self.class_weights, losses.dtype))
        if self._teacher:
            learned = distillation(self._teacher(images), logits, train.teacher_temperature)
            losses = (1 - train.teacher_weight) * losses + train.teacher_weight * tf.cast(learned, losses.dtype)
        labels = tf.argmax(targets, -1, tf.int32)
        return losses * weights, metrics.batch_sums(losses, logits, labels, weights, training=True)

    def evaluate(self, model, batch):
        """model, batch -> sums over the images whose weight is 1."""
        (images, labels), weights = batch
        logits = model(images, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return metrics.batch_sums(losses, logits, labels, weights, training=False)

    def collector(self, split):
        """Returns None: all metrics are sums over images."""

    def summarize(self, sums):
        """Returns the metrics of `classification.metrics.METRICS` over all images."""
        return metrics.summarize(sums)


def _check_channels(config, images):
    """Raises a `ConfigError` if a mean or a std does not fit the channels, or is missing where there are over three."""
    channels = config.data.channels
    for name in ("mean", "std"):
        values = getattr(config.model, name) or ()
        if channels and len(values) != channels:
            columns = config.data.csv.model_dump(mode="json", exclude_defaults=True)
            keys = {"data.channels": channels} | {f"data.csv.{key}": value for key, value in columns.items()}
            sets = " ".join(f"--set {key}={value}" for key, value in keys.items())
            command = f"keras-resnet verify-data {config.data.name} {sets} --statistics"
            raise ConfigError(f"model.{name}: expected {channels} numbers for data.channels; `{command}` prints them")
        if not channels and values and len(values) not in (3, images.image_shape[2]):
            expected = "3 numbers" if images.image_shape[2] > 1 else "1 or 3 numbers"
            raise ConfigError(f"model.{name}: expected {expected}, got {[*values]}")


def _new_description(config, images) -> Description:
    """Returns the description of a new network."""
    _check_channels(config, images)
    mean, std = config.model.mean_and_std
    weights = f", from {config.model.weights}" if config.model.weights else ""
    preprocessing = Preprocessing(
        mean=mean,
        std=std,
        image_size=config.data.image_size or images.image_shape[0] or config.model.spec.image_size,
        crop_pct=config.eval.crop_pct,
        interpolation=config.eval.interpolation,
        channels=images.image_shape[2],
        exif_orientation=config.data.exif_orientation,
    )
    source = f"trained on {config.data.name}{weights}"
    return Description(spec=config.model.spec, preprocessing=preprocessing, source=source, labels=images.labels)
