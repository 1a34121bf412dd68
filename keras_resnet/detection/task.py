"""Provides the detection task: images with boxes, the losses of Faster R-CNN, and COCO's metrics."""

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.analysis.complexity import complexity, count_parameters
from keras_resnet.boxes import coding
from keras_resnet.config.detection import DetectionConfig, earlier_step
from keras_resnet.config.model import WEIGHT_OPTIONS
from keras_resnet.data import pipeline
from keras_resnet.data.decode import decode
from keras_resnet.data.image_task import ImageTask
from keras_resnet.data.object_masks import crop_masks
from keras_resnet.data.sources import load_image_set
from keras_resnet.data.transforms import letterbox
from keras_resnet.description import Description, Preprocessing, different_classes
from keras_resnet.detection import copy_paste, metrics
from keras_resnet.detection.alternation import STEPS, Step, freeze_others
from keras_resnet.detection.coco_metrics import CocoMetrics
from keras_resnet.detection.collector import Collector
from keras_resnet.detection.detector import Detector, build_detector, with_options
from keras_resnet.detection.losses import detection_losses
from keras_resnet.detection.transforms import augmented, padded
from keras_resnet.errors import ConfigError, DataError, one_line
from keras_resnet.specs import SPECS
from keras_resnet.weights.loading import check_network, load_pretrained, set_detector, set_trunk
from keras_resnet.weights.native import load_weights


class Detection(ImageTask):
    """The `Task` of object detection.

    Args:
        config: the run's configuration.
        description: description of the detector; default a new one from the configuration and its data set.

    Raises:
        ConfigError, DataError: the configuration does not fit the data set, or the data set does not fit the
            description.
    """

    config: DetectionConfig
    _proposer: Detector | None = None

    def __init__(self, config: DetectionConfig, description: Description | None = None):
        keras.config.set_image_data_format("channels_last")
        self.config, self.metrics = config, metrics.METRICS
        self._given = description
        self.masks = bool(description.detector.get("masks")) if description else config.detector.masks
        self.images = load_image_set(config.data, "boxes", self.masks)
        self.labels = self.description.labels
        difference = different_classes(self.images.labels, self.labels)
        if difference:
            raise DataError(f"data.name: {config.data.name}: its classes are not the model's: {difference}")
        self.sizes = {name: split.size for name, split in self.images.splits.items()}
        self.train_size = self.sizes["train"]
        self.image_shape = self.description.preprocessing.image_shape

    @property
    def description(self) -> Description:
        """Returns the detector; `config` may have its mean, std and options from the weights after the task is made."""
        return self._given or _new_description(self.config, self.images)

    @property
    def max_detections(self) -> int:
        """Returns the greatest number of detections per image in evaluations."""
        return self.config.eval.max_detections or self.description.detector["detections"]

    @property
    def _side(self):
        return self.image_shape[0]

    @property
    def _mean(self):
        return self.description.preprocessing.mean

    def build_model(self):
        """Builds the detector: images (N, H, W, 3) in [0, 255] -> detections."""
        try:
            model = build_detector(self.description, **self.config.model.training_arguments)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if self._step:
            freeze_others(model, self._step)
            if self._step.proposals_from:
                self._proposer = build_detector(self.description)
                self._load_earlier(self._proposer, self._step.proposals_from)
        return model

    @property
    def _step(self) -> Step | None:
        """Returns the step of alternating training that the run is, if it is one."""
        train = self.config.train
        return STEPS[train.alternation_step] if train.alternate else None

    def check_training(self):
        """Checks that a step of alternating training follows those before it, see `keras_resnet.task.Task`."""
        super().check_training()
        step = self.config.train.alternation_step
        if self._step and step in (2, 3) and earlier_step(step - 1) not in self.earlier_weights:
            raise ConfigError(
                f"train.alternation_step: {step} needs the step before it; omit it, and train.alternate trains all four"
            )

    def _load_earlier(self, model, step):
        """Sets the weights of a detector to those of an earlier step, and returns their path."""
        path = self.earlier_weights[earlier_step(step)]
        try:
            load_weights(model, path)
        except (ValueError, OSError) as error:
            why = f"{path}: cannot be read ({error.strerror})" if isinstance(error, OSError) else one_line(error, 300)
            folder = path[: path.index(earlier_step(step))] + earlier_step(step)
            raise ConfigError(f"{why}; delete the folder {folder} to train this step again") from None
        return path

    def train_dataset(self, start_step, shard):
        """Returns the batches of `ImageTask.train_dataset`; raises a `DataError` if no training image has an object."""
        if self.images.split("train").max_objects == 0:
            raise DataError(f"data.name: {self.config.data.name}: no training image has an object that can be used")
        return super().train_dataset(start_step, shard)

    def overview(self, model):
        """Returns the detector's cost, the sizes of the splits, and the classes."""
        sizes = ", ".join(f"{size:,} {name}" for name, size in self.sizes.items())
        anchors = sum(map(len, model.anchors.values()))
        trained = ""
        if model.options.ignore_crossing_anchors:
            inside = [coding.inside_image(each, self.image_shape[:2]).numpy().sum() for each in model.anchors.values()]
            trained = f", of which the {sum(inside):,} inside of the image are trained"
        trunk, rois = complexity(model.trunk), complexity(model.roi_head)
        return {
            "network": f"{count_parameters(model):,} parameters; the trunk has {trunk.parameters:,}, and "
            f"{trunk.macs:,} MACs per image; {rois.macs:,} MACs per RoI",
            "detector": f"{anchors:,} anchors at strides {', '.join(str(2**level) for level in model.levels)}{trained}",
            "images": f"{sizes}; {len(self.labels)} classes; the network sees {'x'.join(map(str, self.image_shape))}",
            **({"training": f"step {self.config.train.alternation_step} of 4, alternating"} if self._step else {}),
            **self.images.overview(),
        }

    def start_from(self, model):
        """Sets the weights to `model.weights`, if any, of a detector or a trunk, and returns a line about them."""
        settings = self.config.model
        if self._step and self._step.starts_from:
            return self._load_earlier(model, self._step.starts_from)
        if not settings.weights:
            return None
        try:
            pretrained = load_pretrained(settings.weights, SPECS[settings.name], detectors=True)
            given = {name: getattr(settings, name) for name in WEIGHT_OPTIONS}
            check_network(pretrained, settings.spec, given, settings.weights)
            if pretrained.description.detector:
                new = set_detector(model, pretrained, settings.reset_head)
                return settings.weights + self._of_new_layers(new, pretrained.description.labels)
            set_trunk(model, pretrained)
        except (ValueError, OSError) as error:
            raise ConfigError(f"model.weights: {error}") from None
        return f"{settings.weights} for the trunk"

    def _of_new_layers(self, layers, labels):
        if not layers:
            return ""
        classes = f": {len(self.labels)} classes, the weights have {len(labels)}" * (len(labels) != len(self.labels))
        return f"; {', '.join(layers)} start new{classes}"

    def _augment(self, image, objects, seed):
        """Returns the image, its objects {"boxes", "classes", "areas", "ignored", "valid"} padded, and its seed."""
        data = self.config.data
        image = decode(image, self.image_shape[2])
        image, objects = self._fitted(image, self._with_crops(image, objects), self._mean, seed)
        if data.copy_paste:
            draws = self._pasted(seed)
            image, objects = tf.cond(
                draws.pastes, lambda: self._with_pasted(image, objects, draws), lambda: (image, objects)
            )
        return image, padded(objects, data.max_objects), seed

    def _with_crops(self, image, objects):
        """Returns objects with crops of their masks, if they have any, in place of run lengths."""
        if not self.masks:
            return objects
        return objects | {"masks": crop_masks(objects["masks"], objects["boxes"], tf.shape(image)[:2])}

    def _fitted(self, image, objects, mean, seed):
        data = self.config.data
        return augmented(image, objects, self._side, mean, data.scale_range, data.horizontal_flip, seed)

    def _pasted(self, seed):
        return copy_paste.draw(self.config.data.copy_paste, self.train_size, seed)

    def _with_pasted(self, image, objects, draws):
        other, others = self.images.split("train").read(draws.index)
        other = decode(other, self.image_shape[2])
        others, union = copy_paste.chosen(others, tf.shape(other)[:2], draws.choice)
        others = self._with_crops(other, others)
        union, _ = self._fitted(union, others, (0.0,) * 3, draws.augmentation)
        other, others = self._fitted(other, others, self._mean, draws.augmentation)
        return copy_paste.pasted(image, objects, other, others, union)

    def train_image_errors(self, step):
        """Returns a line for each unreadable image of a training step, also of those whose objects are pasted."""
        indices = self._indices(step)
        if self.config.data.copy_paste:
            train = self.config.train
            positions = range(step * train.batch_size, (step + 1) * train.batch_size)
            draws = [self._pasted(tf.constant([train.seed, position], tf.int64)) for position in positions]
            indices += [int(each.index) for each in draws if each.pastes]
        return pipeline.unreadable(self.images.split("train"), indices)

    def _prepare(self, image, objects):
        """Returns the image, all its objects in pixels of the original, and the geometry (3,).

        The geometry is the pixels of the input per original pixel, and the original's height and width.
        """
        pixels = decode(image, self.image_shape[2])
        image, ratio, _ = letterbox(pixels, self._side, self._mean)
        geometry = tf.concat([[ratio], tf.cast(tf.shape(pixels)[:2], tf.float32)], 0)
        objects = {name: value for name, value in objects.items() if name != "masks"}  # `collector` has them
        return image, padded(objects, self._max_objects), geometry

    @property
    def _max_objects(self):
        """Returns a number that no image's objects exceed, as far as the data set knows one."""
        most = [split.max_objects for split in self.images.splits.values()]
        known = [each for each in most if each is not None]
        return max([1, *known]) if len(known) == len(most) else self.config.data.max_objects

    def example_batch(self, count):
        """Returns the first training images (count, H, W, 3) with their boxes drawn, and the classes as captions."""
        images, objects, _ = next(iter(self._train_batches(0, pipeline.Shard(0, 1, count))))[0]
        objects = {name: value.numpy() for name, value in objects.items()}
        captions = []
        drawn = images.numpy()
        for row, image in enumerate(drawn):
            shown = np.flatnonzero(objects["valid"][row])
            for i in shown:
                _outline(image, objects["boxes"][row, i], _IGNORED if objects["ignored"][row, i] else _BOX)
            captions.append(", ".join(self.labels[objects["classes"][row, i]] for i in shown) or "no object")
        return drawn, captions

    def loss(self, model, batch):
        """model, batch -> (losses of each image (N,), sums to report)."""
        (images, objects, seeds), weights = batch
        losses = detection_losses(model, images, objects, tf.cast(seeds, tf.int32), self._step, self._proposer)
        total = tf.add_n(list(losses.values())) * weights
        sums = {name: tf.reduce_sum(value * weights) for name, value in losses.items()}
        return total, sums | {"loss": tf.reduce_sum(total), "images": tf.reduce_sum(weights)}

    def evaluate(self, model, batch):
        """model, batch -> the number of images, and detections and objects in pixels of the original images."""
        (images, objects, geometry), weights = batch
        found = model.detect(images, self.max_detections)
        true = {f"true_{name}": value for name, value in objects.items()}
        sizes = tf.tile(geometry[:, 1:], [1, 2])[:, None]
        found = found._replace(boxes=tf.clip_by_value(found.boxes / geometry[:, :1, None], 0.0, sizes))
        sizes = {"sizes": geometry[:, 1:]} if self.masks else {}
        return {"images": tf.reduce_sum(weights), "weights": weights} | true | sizes | found.named()

    def collector(self, split):
        """Returns a new collector of COCO's metrics."""
        return self.collector_of(split, CocoMetrics(len(self.labels), self.max_detections, self.masks))

    def collector_of(self, split, measure):
        """Returns a new collector of the metrics that `measure` computes."""
        return Collector(measure, self.images.split(split).masks if self.masks else None)

    def summarize(self, sums):
        """Returns the average losses over all images, if there are any."""
        return metrics.summarize(sums)


_BOX, _IGNORED = (255, 64, 0), (128, 128, 128)


def _outline(image, box, color):
    """Draws the outline of a box into an image (H, W, 3)."""
    height, width = image.shape[:2]
    y1, x1 = np.clip(np.floor(box[:2]), 0, (height - 1, width - 1)).astype(int)
    y2, x2 = np.clip(np.ceil(box[2:]) - 1, 0, (height - 1, width - 1)).astype(int)
    image[y1 : y2 + 1, [x1, x2]] = color
    image[[y1, y2], x1 : x2 + 1] = color


def _new_description(config, images) -> Description:
    """Returns the description of a new detector."""
    mean, std = config.model.mean_and_std
    size = config.data.image_size or images.image_shape[0]
    if not size:
        raise ConfigError(f"data.image_size: {config.data.name} has images of several sizes; name the network's")
    weights = f", weights from {config.model.weights}" if config.model.weights else ""
    description = Description(
        spec=config.model.spec,
        preprocessing=Preprocessing(mean=mean, std=std, image_size=size, crop_pct=1.0, channels=3, resize="letterbox"),
        source=f"trained on {config.data.name}{weights}",
        labels=images.labels,
    )
    return with_options(description, config.detector)
