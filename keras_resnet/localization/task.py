"""Provides the localization task: images of one class with boxes, and the losses of a per-class RPN."""

from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.analysis.complexity import complexity, count_parameters
from keras_resnet.config.localization import LocalizationConfig
from keras_resnet.config.model import WEIGHT_OPTIONS
from keras_resnet.data import pipeline, transforms
from keras_resnet.data.decode import decode
from keras_resnet.data.image_task import ImageTask
from keras_resnet.data.sources import load_image_set
from keras_resnet.description import Description, Preprocessing, different_classes
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.localization import metrics
from keras_resnet.localization.collector import Collector
from keras_resnet.localization.localizer import build_localizer, with_options
from keras_resnet.localization.losses import localization_losses
from keras_resnet.localization.transforms import Geometry, augmented, center_geometry, of_one_class, padded
from keras_resnet.localization.weights import set_localizer
from keras_resnet.specs import SPECS
from keras_resnet.weights.loading import check_network, load_pretrained

CENTER_BOX_IMAGES = 5000  # training images, at most, over which the size of boxes is averaged


class Localization(ImageTask):
    """The `Task` of localization.

    Args:
        config: the run's configuration.
        description: description of the localizer; default a new one from the configuration and its data set.

    Raises:
        ConfigError, DataError: the configuration does not fit the data set, or the data set does not fit the
            description.
    """

    config: LocalizationConfig

    def __init__(self, config: LocalizationConfig, description: Description | None = None):
        keras.config.set_image_data_format("channels_last")
        self.config, self.metrics = config, metrics.METRICS
        self._given = description
        self.images = of_one_class(load_image_set(config.data, "boxes"))
        self.labels = self.description.labels
        difference = different_classes(self.images.labels, self.labels)
        if difference:
            raise DataError(f"data.name: {config.data.name}: its classes are not the model's: {difference}")
        self.sizes = {name: split.size for name, split in self.images.splits.items()}
        self.train_size = self.sizes["train"]
        self.image_shape = self.description.preprocessing.image_shape

    @property
    def description(self) -> Description:
        """Returns the localizer; `config` may get its mean, std and options from the weights later."""
        return self._given or _new_description(self.config, self.images)

    def check_training(self):
        """Checks the sizes of crops, and that a second stage has a first one, see `keras_resnet.task.Task`."""
        super().check_training()
        self._check_crops(self.image_shape[0])
        if self.config.localizer.rcnn and not self.config.model.weights:
            raise ConfigError("model.weights: localizer.rcnn needs the weights of a localizer, such as a run's")

    def build_model(self):
        """Builds the localizer: images (N, H, W, C) in [0, 255] -> classes and boxes."""
        return build_localizer(self.description, **self.config.model.training_arguments)

    def overview(self, model):
        """Returns the localizer's cost, the sizes of the splits, and the classes."""
        sizes = ", ".join(f"{size:,} {name}" for name, size in self.sizes.items())
        cost = complexity(model.network)
        return {
            "network": f"{count_parameters(model):,} parameters; the classifier has {cost.parameters:,}, and "
            f"{cost.macs:,} MACs per image",
            "localizer": f"{model.scores.filters} anchors per class at a stride of {model.stride}; "
            f"answers of {model.top_k} classes",
            "images": f"{sizes}; {len(self.labels)} classes; the network sees {'x'.join(map(str, self.image_shape))}",
            **self.images.overview(),
        }

    def start_from(self, model):
        """Sets the weights to `model.weights`, if any, of a classifier or a localizer; returns a line about them."""
        settings = self.config.model
        if not settings.weights:
            return None
        try:
            pretrained = load_pretrained(settings.weights, SPECS[settings.name])
            given = {name: getattr(settings, name) for name in WEIGHT_OPTIONS}
            check_network(pretrained, settings.spec, given, settings.weights)
            new = set_localizer(model, pretrained, settings.reset_head)
        except (ValueError, OSError) as error:
            raise ConfigError(f"model.weights: {error}") from None
        return f"{settings.weights}; {new} new" if new else settings.weights

    def _augment(self, image, objects, seed):
        """Returns the image, its class, its boxes (R, 4) and which are no padding (R,), and its seed."""
        size, _, channels = self.image_shape
        image, boxes, counts = augmented(image, objects["boxes"], size, channels, self.config.data, seed)
        return image, objects["class"], *padded(boxes, counts, self.config.data.max_objects), seed

    def _prepare(self, image, objects):
        """Returns the image, its target: see `target_of`, and the start and ratio of the crop."""
        preprocessing, pixels = self.description.preprocessing, decode(image, self.image_shape[2])
        geometry = center_geometry(tf.shape(pixels)[:2], self.image_shape[0], preprocessing.crop_pct)
        return transforms.prepare(pixels, preprocessing), self.target_of(pixels, objects), *geometry

    def target_of(self, pixels, objects) -> dict:
        """Pixels (H, W, C), objects -> {"labels" (), "true_boxes" (R, 4), "valid" (R,), "sizes" (2,)} of the image."""
        boxes = objects["boxes"]
        boxes, valid = padded(boxes, tf.ones_like(boxes[:, 0], tf.bool), self._max_objects)
        size = tf.cast(tf.shape(pixels)[:2], tf.float32)
        return {"labels": objects["class"], "true_boxes": boxes, "valid": valid, "sizes": size}

    @cached_property
    def _max_objects(self):
        """Returns a number that no image's objects exceed, as far as the data set knows one."""
        most = [split.max_objects for split in self.images.splits.values()]
        known = [each for each in most if each is not None]
        return max([1, *known]) if len(known) == len(most) else self.config.data.max_objects

    def example_batch(self, count):
        """Returns the first training images (count, H, W, C) with their boxes drawn, and the classes as captions."""
        images, labels, boxes, valid, _ = next(iter(self._train_batches(0, pipeline.Shard(0, 1, count))))[0]
        shown = tf.where(valid[..., None], boxes, boxes[:, :1]) / self.image_shape[0]
        drawn = tf.image.draw_bounding_boxes(images, shown, [[255.0, 64.0, 0.0]])
        kept = tf.reduce_any(valid, axis=1)[:, None, None, None]
        captions = [self.labels[label] for label in labels.numpy()]
        return tf.where(kept, drawn, images).numpy(), captions

    def loss(self, model, batch):
        """model, batch -> (losses of each image (N,), sums to report)."""
        (images, labels, boxes, valid, seeds), weights = batch
        found = localization_losses(model, images, labels, boxes, valid, tf.cast(seeds, tf.int32))
        total = tf.add_n(list(found.losses.values())) * weights
        sums = {name: tf.reduce_sum(value * weights) for name, value in found.losses.items()}
        wrong = tf.cast(tf.argmax(found.logits, -1, tf.int32) != labels, tf.float32) * weights
        return total, sums | {
            "wrong": tf.reduce_sum(wrong),
            "loss": tf.reduce_sum(total),
            "images": tf.reduce_sum(weights),
        }

    def evaluate(self, model, batch):
        """model, batch -> the number of images, and the attributes of `collector.Answers` of each."""
        (images, target, *geometry), weights = batch
        found, oracle = model.locate_with(images, target["labels"])
        return answers(found, oracle, target, Geometry(*geometry), weights)

    def collector(self, split):
        """Returns a new collector of the errors."""
        return Collector()

    def summarize(self, sums):
        """Returns the average losses and the training error."""
        return metrics.summarize(sums)

    @cached_property
    def mean_box_share(self) -> np.ndarray:
        """Returns the mean height and width (2,) of training boxes, as shares of their images."""
        split = self.images.split("train")

        def shares(index):
            image, objects = split.read(index)
            size = tf.cast(tf.shape(decode(image, self.image_shape[2]))[:2], tf.float32)
            return (objects["boxes"][:, 2:] - objects["boxes"][:, :2]) / size

        indices = np.linspace(0, split.size - 1, min(CENTER_BOX_IMAGES, split.size)).astype(np.int64)
        found = tf.data.Dataset.from_tensor_slices(indices).map(shares, num_parallel_calls=tf.data.AUTOTUNE)
        return np.concatenate(list(found.ignore_errors().as_numpy_iterator())).mean(0)


def answers(found, oracle_boxes, target: dict, geometry: Geometry, weights) -> dict:
    """Converts boxes in pixels of crops to the attributes of `collector.Answers`, and "images", their number."""
    sizes = tf.tile(target["sizes"], [1, 2])[:, None]

    def in_image(boxes):
        return tf.clip_by_value(geometry.to_image(boxes), 0.0, sizes)

    return target | {
        "images": tf.reduce_sum(weights),
        "weights": weights,
        "classes": found.classes,
        "scores": found.scores,
        "boxes": in_image(found.boxes),
        "oracle_boxes": in_image(oracle_boxes[:, None])[:, 0],
    }


def _new_description(config, images) -> Description:
    """Returns the description of a new localizer."""
    mean, std = config.model.mean_and_std
    weights = f", weights from {config.model.weights}" if config.model.weights else ""
    preprocessing = Preprocessing(
        mean=mean,
        std=std,
        image_size=config.data.image_size or images.image_shape[0] or config.model.spec.image_size,
        crop_pct=config.eval.crop_pct,
        interpolation=config.eval.interpolation,
        channels=images.image_shape[2],
    )
    source = f"trained on {config.data.name}{weights}"
    about = Description(spec=config.model.spec, preprocessing=preprocessing, source=source, labels=images.labels)
    return with_options(about, config.localizer)
