"""Provides images and labels as tf.data: `load_image_set` loads a set, `pipeline` builds batches of it."""
