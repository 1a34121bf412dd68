"""Classification: the network with its logits, cross entropy, and errors in percent."""

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.builder import build
from keras_resnet.classification.signatures import classification_signatures
from keras_resnet.config import Config
from keras_resnet.data import pipeline, transforms
from keras_resnet.data.image_set import load_image_set
from keras_resnet.errors import ConfigError
from keras_resnet.weights import load_weights


class Classification:
    """The `Task` of naming an image's class. An image is (image (H, W, C), label ())."""

    monitor = ("error", "loss")

    def __init__(self, config: Config):
        keras.config.set_image_data_format("channels_last")  # as tf.data's images are
        self.config = config
        self.images = load_image_set(config.data.name)
        self.labels = self.images.labels
        self.sizes = {name: split.size for name, split in self.images.splits.items()}
        self.train_size = self.sizes["train"]
        side = config.data.image_size or self.images.image_shape[0]
        self.image_shape = (side, side, self.images.image_shape[2])
        if config.export.top_k > len(self.labels):
            raise ConfigError(
                f"export.top_k: {config.export.top_k} is more than the {len(self.labels)} classes of {config.data.name}"
            )

    def build_model(self) -> keras.Model:
        """images (N, H, W, C) in [0, 255] -> logits (N, classes)."""
        return build(self.config.model.spec, classes=len(self.labels), input_shape=self.image_shape)

    def start_from(self, model):
        """Sets the weights of `model.weights`, if it names a file."""
        if self.config.model.weights:
            try:
                load_weights(model, self.config.model.weights)
            except (ValueError, OSError) as error:
                raise ConfigError(f"model.weights: {error}") from None

    def train_dataset(self, start_step, shard):
        """Batches (images (N, H, W, C) float32, labels (N,) int32)."""
        train = self.config.train
        return pipeline.train_batches(
            self.images.split("train"),
            self._augment,
            seed=train.seed,
            batch_size=train.batch_size,
            steps=train.total_steps,
            shard=shard,
            start_step=start_step,
        )

    def eval_dataset(self, split, shard):
        """Batches ((images (N, H, W, C) float32, labels (N,) int32), weights (N,) float32)."""
        batch_size = self.config.eval.batch_size
        return pipeline.eval_batches(self.images.split(split), self._prepare, batch_size=batch_size, shard=shard)

    def eval_steps(self, split):
        """Steps that an evaluation of the split takes."""
        return pipeline.eval_steps(self.images.split(split), self.config.eval.batch_size)

    def _augment(self, image, label, seed):
        crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 2))
        image = transforms.for_test(image, self.image_shape[0])
        image = transforms.random_crop(image, self.config.data.pad_crop, crop_seed)
        if self.config.data.flip:
            image = transforms.random_flip(image, flip_seed)
        return image, label

    def _prepare(self, image, label):
        return transforms.for_test(image, self.image_shape[0], self.config.eval.crop_fraction), label

    def loss(self, model, batch):
        """Cross entropy of each image (N,), and the sums of what is reported."""
        images, labels = batch
        logits = model(images, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return losses, _sums(losses, logits, labels, tf.ones_like(losses))

    def evaluate(self, model, batch):
        """Sums over the images whose weight is 1."""
        (images, labels), weights = batch
        logits = model(images, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return _sums(losses, logits, labels, weights)

    def summarize(self, sums):
        """{"loss": mean cross entropy, "error": percent of images whose best class is wrong}."""
        images = sums["images"]
        return {"loss": sums["loss"] / images, "error": 100 * sums["wrong"] / images}

    def signatures(self, model):
        """The exported functions, see `classification_signatures`."""
        return classification_signatures(
            model,
            labels=self.labels,
            image_shape=self.image_shape,
            top_k=self.config.export.top_k,
            crop_fraction=self.config.eval.crop_fraction,
        )

    def example_images(self, count):
        """Half of them the first validation images, half random pixels from a fixed seed."""
        split = self.images.split("validation")
        real = [self._prepare(*split.read(tf.constant(i, tf.int64)))[0].numpy() for i in range(count // 2)]
        random = np.random.RandomState(0).randint(0, 256, (count - len(real), *self.image_shape))
        return np.concatenate([np.stack(real), random.astype(np.float32)])


def _sums(losses, logits, labels, weights):
    weights = tf.cast(weights, losses.dtype)
    wrong = tf.cast(tf.argmax(logits, -1, tf.int32) != labels, losses.dtype)
    return {
        "loss": tf.reduce_sum(losses * weights),
        "wrong": tf.reduce_sum(wrong * weights),
        "images": tf.reduce_sum(weights),
    }
