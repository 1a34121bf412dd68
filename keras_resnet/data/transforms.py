"""Transforms stored images to network inputs. Randomness comes only from the given seeds."""

import tensorflow as tf

from keras_resnet.data.decode import MAX_ASPECT, decode_crop
from keras_resnet.description import Preprocessing, height_and_width

# Principal components of ImageNet's colors (Krizhevsky et al. 2012, 4.1), RGB in [0, 1]; values of fb.resnet.torch.
_COLOR_DEVIATIONS = (0.2175, 0.0188, 0.0045)
_COLOR_COMPONENTS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


def prepare(image, preprocessing: Preprocessing):
    """image (H, W, C) -> image_shape float32 in [0, 255]: resized, and cropped or padded, as in evaluation."""
    if preprocessing.resize == "letterbox":
        return letterbox(image, preprocessing.image_shape[0], preprocessing.mean)[0]
    return for_test(image, preprocessing.image_shape[:2], preprocessing.crop_pct, preprocessing.interpolation)


def prepare_batch(images, preprocessing: Preprocessing):
    """images (N, H, W, C) -> (N, *image_shape) float32; images that already have this shape are only cast."""
    rows, columns, channels = preprocessing.image_shape
    height, width = tf.shape(images)[1], tf.shape(images)[2]

    def resized():
        longer, shorter = tf.maximum(height, width), tf.minimum(height, width)
        message = f"images: expected sides above 0, one at most {MAX_ASPECT} times the other"
        fits = tf.debugging.Assert((shorter > 0) & (longer <= MAX_ASPECT * shorter), [message])
        with tf.control_dependencies([fits]):
            if preprocessing.resize == "letterbox":
                return prepare(tf.identity(images), preprocessing)
            stacked = tf.transpose(tf.cast(images, tf.float32), (1, 2, 0, 3))  # all have the same size
        prepared = prepare(tf.reshape(stacked, (height, width, -1)), preprocessing)
        return tf.transpose(tf.reshape(prepared, (rows, columns, -1, channels)), (2, 0, 1, 3))

    fits = (height == rows) & (width == columns)
    prepared = tf.cond(fits, lambda: tf.cast(images, tf.float32), resized)
    return tf.ensure_shape(prepared, (None, *preprocessing.image_shape))


def letterbox(image, side: int, mean, scale=1.0, offset=None):
    """image (..., H, W, C) -> (image (..., side, side, C) float32, its pixels per pixel of `image`, first row and \
column kept).

    The longer side becomes `side * scale` pixels. What the image does not fill has the mean color, which is zero after
    normalization; what it overfills is cut off.

    Args:
        image: pixels in [0, 255], of one image or of several of one size.
        side: height and width of the result.
        mean: a color, a number per channel.
        scale: 1 fills the longer side exactly.
        offset: (2,) in [0, 1]: the share of the cut-off rows and columns that is above and to the left. None: 0.
    """
    ratio = letterbox_ratio(tf.shape(image)[-3:-1], side * scale)
    resized = tf.maximum(tf.cast(tf.round(tf.cast(tf.shape(image)[-3:-1], tf.float32) * ratio), tf.int32), 1)
    image = tf.cast(image, tf.float32)
    # The kernel without antialiasing is faster, and equal where nothing shrinks.
    pixels = tf.cond(
        ratio < 1, lambda: tf.image.resize(image, resized, antialias=True), lambda: tf.image.resize(image, resized)
    )
    start = tf.zeros((2,), tf.int32)
    if offset is not None:
        over = tf.maximum(resized - side, 0)
        start = tf.cast(tf.cast(over, tf.float32) * offset, tf.int32)
    pixels = pixels[..., start[0] : start[0] + side, start[1] : start[1] + side, :]
    batch, height, width = tf.shape(pixels)[:-3], tf.shape(pixels)[-3], tf.shape(pixels)[-2]

    def filled(height, width):
        shape = tf.concat([batch, [height, width, len(mean)]], 0)
        return tf.broadcast_to(tf.constant(mean, tf.float32), shape)

    pixels = tf.concat([pixels, filled(height, side - width)], axis=-2)
    pixels = tf.concat([pixels, filled(side - height, side)], axis=-3)
    return tf.ensure_shape(pixels, (*image.shape[:-3], side, side, len(mean))), ratio, start


def letterbox_ratio(size, side):
    """size (..., 2), height and width of images -> pixels of the letterboxed image per pixel, float32 (...)."""
    return side / tf.reduce_max(tf.cast(size, tf.float32), axis=-1)


def resized_side(preprocessing: Preprocessing) -> int:
    """Returns the pixels of an image's shorter side before the crop."""
    return round(preprocessing.image_shape[0] / preprocessing.crop_pct)


def for_test(image, size, crop_pct=1.0, interpolation="bilinear"):
    """image (H, W, C) -> (h, w, C) float32 in [0, 255] of `size`: resized, then cropped from the center.

    The image becomes just large enough to cover size / crop_pct pixels: in a square, the shorter side becomes this long
    (224 / 0.875 = 256 in the papers' single-crop test). The interpolation is "bilinear" or "bicubic". Validation during
    training and the exported model both use this function. An image of the right size is unchanged.
    """
    h, w = height_and_width(size)
    image = resize_to_cover(image, covered(size, crop_pct), interpolation)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    top, left = (height - h) // 2, (width - w) // 2
    return tf.ensure_shape(image[top : top + h, left : left + w], (h, w, image.shape[-1]))


def covered(size, crop_pct) -> tuple[int, int]:
    """Returns the height and width that an image covers before the center crop of `size`."""
    height, width = height_and_width(size)
    return round(height / crop_pct), round(width / crop_pct)


def resize_shorter_side(image, side, interpolation="bilinear"):
    """image (H, W, C) -> (h, w, C) float32 of the same aspect ratio, min(h, w) = side."""
    return resize_to_cover(image, (side, side), interpolation)


def at_least(images, side):
    """images (N, H, W, C) -> the same, with zeros below and on the right of those with a side of less than `side`.

    In place of an unreadable image of any size, the pipeline has one pixel, on which no window of a network fits.
    """
    shape = tf.shape(images)
    return tf.pad(images, [[0, 0], [0, tf.maximum(side - shape[1], 0)], [0, tf.maximum(side - shape[2], 0)], [0, 0]])


def resize_to_cover(image, size, interpolation="bilinear"):
    """image (H, W, C) -> (h, w, C) float32 of the same aspect ratio, the smallest that covers `size` (height, width).

    The resize kernel reads integers directly: a float32 copy of a large image would take four times its memory.
    """
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    scaled = tf.cast(tf.round(shape * tf.reduce_max(tf.cast(size, tf.float32) / shape)), tf.int32)
    resized = tf.cast(tf.image.resize(image, scaled, interpolation, antialias=True), tf.float32)
    return tf.clip_by_value(resized, 0.0, 255.0) if interpolation == "bicubic" else resized  # bicubic overshoots


def random_scale_crop(image, size, scales, seed, channels, exif="apply"):
    """Stored image -> (h, w, channels) float32 of `size`, by scale jitter.

    As in Simonyan and Zisserman 2014 and He et al. 2015, section 3.4: the shorter side becomes a random number of
    pixels in `scales`, both ends included, then a random part of `size` is cropped. Only this part is read and scaled.
    """
    return resized(decode_crop(image, scale_crop(size, scales, seed), channels, size, exif), size)


def scale_crop(size, scales, seed):
    """Returns a function: height (), width () of an image -> the part (top, left, h, w) of `random_scale_crop`."""
    scale_seed, crop_seed = tf.unstack(tf.random.split(seed, 2))
    scale = tf.random.stateless_uniform((), scale_seed, scales[0], scales[1] + 1, tf.int32)

    def part(height, width):
        shorter = tf.minimum(height, width)
        h, w = (tf.cast(tf.round(side * shorter / scale), tf.int32) for side in height_and_width(size))
        return _random_box(height, width, h, w, crop_seed)

    return part


def random_resized_crop(image, size, area, seed, channels, exif="apply"):
    """Stored image -> (h, w, channels) float32 of `size`: a part of random area and aspect ratio (Szegedy et al. 2014).

    Args:
        image: the stored image.
        size: height and width of the result in pixels, or one number for both.
        area: least and greatest share of the image's area; the aspect ratio is 3/4 to 4/3 of the result's.
        seed: (2,).
        channels: 1 or 3.
        exif: see `decode`.
    """
    height, width = height_and_width(size)
    part = resized_crop(area, seed, channels, width / height)
    return resized(decode_crop(image, part, channels, size, exif), size)


def resized_crop(area, seed, channels, aspect=1.0):
    """Returns a function: height (), width () of an image -> the part (top, left, h, w) of `random_resized_crop`."""

    def part(height, width):
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.stack([height, width, channels]),
            bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            seed=seed,
            min_object_covered=0.0,
            aspect_ratio_range=(3 / 4 * aspect, 4 / 3 * aspect),
            area_range=area,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        return tf.concat([begin[:2], extent[:2]], 0)

    return part


def random_crop(image, padding, seed):
    """image (H, W, C) -> (H, W, C): `padding` zeros on every side, then a random crop (He et al. 2015, 4.2)."""
    if not padding:
        return image
    padded = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
    return tf.image.stateless_random_crop(padded, tf.shape(image), seed)


def random_flip(image, seed):
    """image (H, W, C) -> (H, W, C), flipped left to right with probability 0.5."""
    return tf.image.stateless_random_flip_left_right(image, seed)


def random_color(image, seed):
    """RGB image (H, W, 3) in [0, 255] -> the same plus one color (Krizhevsky et al. 2012, 4.1).

    The color is a sum of ImageNet's three principal components, each times its standard deviation and a
    Gaussian factor of standard deviation 0.1. Values may leave [0, 255].
    """
    amounts = tf.random.stateless_normal((3,), seed, stddev=0.1) * tf.constant(_COLOR_DEVIATIONS)
    return image + 255.0 * tf.linalg.matvec(tf.constant(_COLOR_COMPONENTS), amounts)


def random_erasing(image, probability, seed, color=None):
    """image (H, W, C) -> the same with a rectangle of noise, with the given probability (Zhong et al. 2017).

    The rectangle has 2 to 33 % of the area and an aspect ratio in [0.3, 3.3]; the noise is uniform in [0, 255]. With
    `color`, a number per channel, the rectangle has this color.
    """
    chance_seed, shape_seed, place_seed, noise_seed = tf.unstack(tf.random.split(seed, 4))
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    share, log_ratio = tf.unstack(tf.random.stateless_uniform((2,), shape_seed))
    area = (0.02 + share * (0.33 - 0.02)) * tf.cast(height * width, tf.float32)
    ratio = tf.exp((2 * log_ratio - 1) * tf.math.log(3.3))
    extent = [tf.cast(tf.sqrt(area * ratio), tf.int32), tf.cast(tf.sqrt(area / ratio), tf.int32)]
    h, w = tf.minimum(extent[0], height), tf.minimum(extent[1], width)
    mask = box_mask(height, width, _random_box(height, width, h, w, place_seed))
    mask &= tf.random.stateless_uniform((), chance_seed) < probability
    if color is not None:
        return tf.where(mask, tf.constant(color, image.dtype), image)
    return tf.where(mask, tf.random.stateless_uniform(tf.shape(image), noise_seed, 0.0, 255.0), image)


def box_mask(height, width, box):
    """Returns a mask (H, W, 1) bool that is true in the box (top, left, h, w)."""
    top, left, h, w = tf.unstack(box)
    rows, columns = tf.range(height)[:, None, None], tf.range(width)[None, :, None]
    return (rows >= top) & (rows < top + h) & (columns >= left) & (columns < left + w)


def random_place(height: int, width: int, seed):
    """Draws a pixel (y, x) int32 of an image."""
    if height == width:
        return tf.random.stateless_uniform((2,), seed, 0, height, tf.int32)
    places = zip(tf.unstack(tf.random.split(seed, 2)), (height, width), strict=True)
    return tf.stack([tf.random.stateless_uniform((), each, 0, side, tf.int32) for each, side in places])


def _random_box(height, width, h, w, seed):
    """Returns a random box (top, left, h, w) inside the image."""
    spread = tf.random.stateless_uniform((2,), seed)
    top = tf.cast(spread[0] * tf.cast(height - h + 1, tf.float32), tf.int32)
    left = tf.cast(spread[1] * tf.cast(width - w + 1, tf.float32), tf.int32)
    return tf.stack([top, left, h, w])


def resized(image, size):
    """(H, W, C) uint8 -> (h, w, C) float32 of `size`."""
    size = height_and_width(size)
    image = tf.cast(image, tf.float32)  # the resize kernel is faster on floats, conversion included
    return tf.ensure_shape(tf.image.resize(image, size), (*size, image.shape[-1]))
