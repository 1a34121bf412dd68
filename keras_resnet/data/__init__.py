"""Images and labels as tf.data. `load_image_set(name)` finds a set, `pipeline` turns it into batches."""
