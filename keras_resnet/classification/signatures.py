"""What an exported classifier answers, as TensorFlow functions of fixed signatures."""

import tensorflow as tf

from keras_resnet.data import transforms


def classification_signatures(model, *, labels, image_shape, top_k, crop_fraction):
    """Functions and input specs by name, the default one first.

    Args:
        model: images (N, H, W, C) in [0, 255] -> logits (N, classes).
        labels: a name for each class.
        image_shape: (H, W, C) that the model takes.
        top_k: classes that `serving_default` returns.
        crop_fraction: as in `transforms.for_test`, which prepares the images here as in validation.

    Returns:
        serving_default: image_bytes (N,) of JPEG or PNG, any size -> classes (N, k) int32, labels (N, k)
            string, scores (N, k) float32, best first.
        predict_images: images (N, H, W, C) float32 in [0, 255] -> logits and scores (N, classes) float32.
    """
    names = tf.constant(labels)

    def prepare(image_bytes):
        image = tf.io.decode_image(image_bytes, channels=image_shape[2], expand_animations=False)
        return transforms.for_test(tf.ensure_shape(image, (None, None, image_shape[2])), image_shape[0], crop_fraction)

    def serving_default(image_bytes):
        images = tf.map_fn(prepare, image_bytes, fn_output_signature=tf.TensorSpec(image_shape, tf.float32))
        scores, classes = tf.math.top_k(predict_images(images)["scores"], k=top_k)
        return {"classes": classes, "labels": tf.gather(names, classes), "scores": scores}

    def predict_images(images):
        logits = tf.cast(model(images, training=False), tf.float32)
        return {"logits": logits, "scores": tf.nn.softmax(logits)}

    return {
        "serving_default": (serving_default, [tf.TensorSpec([None], tf.string, name="image_bytes")]),
        "predict_images": (predict_images, [tf.TensorSpec([None, *image_shape], tf.float32, name="images")]),
    }
