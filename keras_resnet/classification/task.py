"""Provides the classification task: a network that returns logits, cross entropy, and errors in percent."""

import contextlib
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.analysis.complexity import complexity
from keras_resnet.builder import build_described
from keras_resnet.classification import metrics
from keras_resnet.config import Config
from keras_resnet.config.model import WEIGHT_OPTIONS
from keras_resnet.data import pipeline, transforms
from keras_resnet.data.augmentation import augment, mix_pairs, mix_shares
from keras_resnet.data.decode import decode
from keras_resnet.data.image_set import load_image_set
from keras_resnet.data.pipeline import unreadable
from keras_resnet.description import Description, Preprocessing, different_classes
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.specs import SPECS
from keras_resnet.weights.loading import check_network, load_pretrained, set_pretrained


class Classification:
    """The `Task` of image classification.

    Args:
        config: the run's configuration.
        description: description of the network; default a new one from the configuration and its data set.

    Raises:
        ConfigError, DataError: the configuration does not fit the data set, or the data set does not fit the
            description.
    """

    def __init__(self, config: Config, description: Description | None = None):
        keras.config.set_image_data_format("channels_last")  # the format of tf.data's images
        self.config = config
        self.metrics = metrics.METRICS
        self.images = load_image_set(config.data)
        self._given = description
        if description and not description.labels:  # weights of other libraries rarely name their classes
            self._given = replace(description, labels=self.images.labels)
        self.labels = self.description.labels
        self._check_images()
        self.sizes = {name: split.size for name, split in self.images.splits.items()}
        self.train_size = self.sizes["train"]
        self.image_shape = self.description.preprocessing.image_shape
        side = self.image_shape[0]
        if config.export.top_k and config.export.top_k > len(self.labels):
            raise ConfigError(
                f"export.top_k: {config.export.top_k} is more than the {len(self.labels)} classes of {config.data.name}"
            )
        if config.data.crop == "scale_jitter" and config.data.resize_range[0] < side:
            raise ConfigError(
                f"data.resize_range: a shorter side of {config.data.resize_range[0]} is less than the image_size {side}"
            )

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
        return build_described(self.description, **self.config.model.training_arguments)

    def overview(self, model):
        """Returns the network's cost, the sizes of the splits, and the classes."""
        cost = complexity(model)
        sizes = ", ".join(f"{size:,} {name}" for name, size in self.sizes.items())
        seen = "x".join(map(str, model.input_shape[1:]))
        return {
            "network": f"{cost.parameters:,} parameters, {cost.macs:,} MACs per image",
            "images": f"{sizes}; {len(self.labels)} classes; the network sees {seen}",
            **self.images.overview(),
        }

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

    def train_dataset(self, start_step, shard):
        """Returns batches ((images (N, H, W, C) float32, targets (N, classes) float32), weights (N,) float32)."""
        return self._train_batches(start_step, shard, self.config.data.tf_data_service)

    def _train_batches(self, start_step, shard, service=None):
        train, data = self.config.train, self.config.data
        return pipeline.train_batches(
            self.images.split("train"),
            self._augment,
            seed=train.seed,
            batch_size=train.batch_size,
            steps=train.total_steps,
            shard=shard,
            start_step=start_step,
            finish=self._mix if self._mixes else lambda example, weights: (example, weights),
            skip_unreadable=data.on_unreadable_image == "skip",
            service=service,
        )

    @property
    def _mixes(self):
        return bool(self.config.data.mixup or self.config.data.cutmix)

    def eval_dataset(self, split, shard):
        """Returns batches ((images (N, H, W, C) float32, labels (N,) int32), weights (N,) float32)."""
        return pipeline.eval_batches(
            self.images.split(split),
            self._prepare,
            batch_size=self.config.eval.batch_size,
            shard=shard,
            skip_unreadable=self.config.data.on_unreadable_image == "skip",
        )

    def eval_steps(self, split):
        """Returns the number of steps in an evaluation of the split."""
        return pipeline.eval_steps(self.images.split(split), self.config.eval.batch_size)

    def train_faults(self, step):
        """Returns a line for each unreadable image of a training step."""
        return unreadable(self.images.split("train"), self._indices(step))

    def train_samples(self, step):
        """Returns the location of each image of a training step."""
        return [self.images.split("train").source(index) for index in self._indices(step)]

    def _indices(self, step):
        train = self.config.train
        return pipeline.train_indices(self.images.split("train"), train.seed, train.batch_size, step)

    def eval_faults(self, split, step):
        """Returns a line for each unreadable image of an evaluation step."""
        images = self.images.split(split)
        return unreadable(images, pipeline.eval_indices(images, self.config.eval.batch_size, step))

    def example_batch(self, count):
        """Returns (images (count, H, W, C), captions) of the first training images, after augmentation."""
        images, targets = next(iter(self._train_batches(0, pipeline.Shard(0, 1, count))))[0]
        names = [[(self.labels[i], row[i]) for i in np.argsort(-row)[:2] if row[i]] for row in targets.numpy()]
        captions = [" + ".join(f"{n} {s:.0%}" if s < 1 else n for n, s in pairs) for pairs in names]
        return images.numpy(), captions

    def _augment(self, image, label, seed):
        size, channels, data = self.image_shape[0], self.image_shape[2], self.config.data
        example = augment(image, size, channels, data, seed), tf.one_hot(label, len(self.labels))
        return (*example, mix_shares(size, data, seed)) if self._mixes else example

    def _mix(self, example, weights):
        images, targets, shares = example
        return mix_pairs(images, targets, weights, shares), weights

    def _prepare(self, image, label):
        return transforms.prepare(decode(image, self.image_shape[2]), self.description.preprocessing), label

    def loss(self, model, batch):
        """model, batch -> (cross entropy of each image (N,), sums to report)."""
        (images, targets), weights = batch
        logits = model(images, training=True)
        losses = keras.losses.categorical_crossentropy(
            targets, logits, from_logits=True, label_smoothing=self.config.train.label_smoothing
        )
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

    def example_images(self, count):
        """Returns at most `count` validation images, evenly spread over the split."""
        return self._prepared("validation", count)

    def calibration_images(self, count):
        """Returns at most `count` training images, evenly spread over the split."""
        return self._prepared("train", count)

    def _prepared(self, split, count):
        """Returns `count` images of a split, evenly spread, preprocessed as in validation; skips unreadable images."""
        split = self.images.split(split)
        prepared = tf.function(
            lambda index: self._prepare(*split.read(index))[0],
            input_signature=[tf.TensorSpec((), tf.int64)],
            autograph=False,
        )
        images = []
        for index in np.linspace(0, split.size - 1, min(count, split.size)).astype(np.int64):
            with contextlib.suppress(tf.errors.OpError):
                images.append(prepared(tf.constant(index)).numpy())
        return np.stack(images) if images else np.zeros((0, *self.image_shape), np.float32)


def _new_description(config, images) -> Description:
    """Returns the description of a new network."""
    mean, std = config.model.mean_and_std
    weights = f", from {config.model.weights}" if config.model.weights else ""
    preprocessing = Preprocessing(
        mean=mean,
        std=std,
        image_size=config.data.image_size or images.image_shape[0] or config.model.spec.image_size,
        crop_pct=config.eval.crop_pct,
        interpolation=config.eval.interpolation,
        channels=images.image_shape[2],
    )
    source = f"trained on {config.data.name}{weights}"
    return Description(spec=config.model.spec, preprocessing=preprocessing, source=source, labels=images.labels)
