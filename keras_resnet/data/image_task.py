"""Provides what tasks over an `ImageSet` share: the part of the `Task` protocol that reads images."""

import contextlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from keras_resnet.config import Config
from keras_resnet.data import pipeline
from keras_resnet.data.image_set import ImageSet
from keras_resnet.data.pipeline import unreadable
from keras_resnet.data.sampling import image_order, with_repeats
from keras_resnet.errors import ConfigError


class ImageTask:
    """The base class of tasks whose examples are the images of a data set.

    A subclass sets `config`, `images` and `image_shape`, and defines `_augment` and `_prepare`.
    """

    config: Config
    images: ImageSet
    image_shape: tuple[int, int, int]
    earlier_weights: Mapping[str, str] = {}

    def _augment(self, image, target, seed):
        """Returns the example of a training image, a function of the seed (2,)."""
        raise NotImplementedError

    def _prepare(self, image, target):
        """Returns the example of an evaluation image, a tuple that begins with the network's input."""
        raise NotImplementedError

    def check_training(self):
        """Raises a `ConfigError` if the order of training images cannot be as configured."""
        _ = self._order

    def _check_crops(self, side):
        """Raises a `ConfigError` if resized training images can be smaller than crops of `side` pixels."""
        data = self.config.data
        if data.crop == "scale_jitter" and data.resize_range[0] < side:
            least = data.resize_range[0]
            raise ConfigError(f"data.resize_range: a shorter side of {least} is less than {side} in training")

    def prepare_training(self):
        """Does nothing: most tasks need no more than the model and the images."""

    def train_dataset(self, start_step, shard):
        """Returns batches (examples of `_augment`, weights (N,) float32), as `_finish` returns them."""
        return self._train_batches(start_step, shard, self.config.data.tf_data_service)

    def _train_batches(self, start_step, shard, service=None):
        train = self.config.train
        return pipeline.train_batches(
            self._train_split,
            self._augment,
            seed=train.seed,
            batch_size=train.batch_size,
            steps=train.total_steps,
            shard=shard,
            start_step=start_step,
            finish=self._finish,
            skip_unreadable=self._skips,
            service=service,
            order=self._order,
        )

    @property
    def _train_split(self):
        """Returns the training images with the targets that `_augment` takes."""
        return self.images.split("train")

    @property
    def _order(self):
        """Returns the function position in the stream of training samples -> index of its image."""
        train, data = self.config.train, self.config.data
        order = image_order(self.images.split("train"), train.seed, data.sampling)
        return with_repeats(order, train.batch_size, data.repeated_augmentation)

    def _finish(self, examples, weights):
        """Changes a batch after its examples are put together."""
        return examples, weights

    @property
    def _skips(self):
        return self.config.data.on_unreadable_image == "skip"

    def eval_dataset(self, split, shard):
        """Returns batches (examples of `_prepare`, weights (N,) float32)."""
        return pipeline.eval_batches(
            self.images.split(split),
            self._prepare,
            batch_size=self.config.eval.batch_size,
            shard=shard,
            skip_unreadable=self._skips,
        )

    def eval_steps(self, split):
        """Returns the number of steps in an evaluation of the split."""
        return pipeline.eval_steps(self.images.split(split), self.config.eval.batch_size)

    def train_image_errors(self, step):
        """Returns a line for each unreadable image of a training step."""
        return unreadable(self.images.split("train"), self._indices(step), self.image_shape[2])

    def train_samples(self, step):
        """Returns the location of each image of a training step."""
        return [self.images.split("train").source(index) for index in self._indices(step)]

    def _indices(self, step):
        return pipeline.train_indices(self._order, self.config.train.batch_size, step)

    def eval_image_errors(self, split, step):
        """Returns a line for each unreadable image of an evaluation step."""
        images = self.images.split(split)
        indices = pipeline.eval_indices(images, self.config.eval.batch_size, step)
        return unreadable(images, indices, self.image_shape[2])

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
