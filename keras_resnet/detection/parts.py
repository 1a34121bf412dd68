"""Builds the networks of a detector that its design determines: the trunk, and the heads of RoIs."""

import keras

from keras_resnet.builder import STEM, build, build_stages, with_stem, without_last_stage
from keras_resnet.config.detector_options import DetectorOptions
from keras_resnet.description import Description
from keras_resnet.detection.heads import mask_head, roi_head
from keras_resnet.specs import Spec


def build_trunk(description: Description, options: DetectorOptions, training: dict) -> keras.Model:
    """Builds the network whose features all RoIs share, images -> {stage: features}; with c4, all stages but the last.

    Args:
        description: the network and its preprocessing.
        options: the options of the detector.
        training: `drop_path_rate`, `zero_init_last_gamma` and `dropout` of `keras_resnet.builder.build`.

    Raises:
        ValueError: the network has no such features.
    """
    preprocessing = description.preprocessing
    trunk = build(
        description.spec,
        features_only=True,
        input_shape=preprocessing.image_shape,
        mean=preprocessing.mean,
        std=preprocessing.std,
        **training,
    )
    if options.design == "c4":
        return without_last_stage(trunk)
    try:
        return with_stem(trunk) if options.mask_stem_features else trunk
    except ValueError as error:
        raise ValueError(f"detector.mask_stem_features: true, but {error}") from None


def build_roi_head(spec: Spec, options: DetectorOptions, channels: int, training: dict) -> keras.Model:
    """Builds the layers from a RoI's features to those that the siblings read; with c4, before their average.

    Args:
        spec: the network.
        options: the options of the detector.
        channels: of the RoI's features.
        training: as for `build_trunk`.
    """
    shape = (options.roi_size, options.roi_size, channels)
    if options.design == "c4":
        training = {name: value for name, value in training.items() if name != "dropout"}
        return build_stages(spec, len(spec.depths), shape, **training)
    return roi_head(
        shape,
        options.box_features,
        dense=options.box_layers,
        convolutions=options.box_convolutions,
        normalized=options.normalization == "batch",
    )


def build_mask_head(
    trunk: keras.Model, roi: keras.Model, options: DetectorOptions, channels: int, masks: int
) -> keras.Model:
    """Builds the head of masks on the features of RoIs, and of the stem; with c4, on the output of the last stage.

    Args:
        trunk, roi: what `build_trunk` and `build_roi_head` return.
        options: the options of the detector.
        channels: of the RoI's features.
        masks: number of masks, of which there is one for each class.
    """
    if options.mask_stem_features:
        channels += trunk.output[STEM].shape[-1]
    shape = (options.mask_roi_size, options.mask_roi_size, channels)
    if options.design == "c4":
        shape = roi.output.shape[1:]
    return mask_head(shape, options.mask_channels, options.mask_convolutions, masks, options.normalization == "batch")
