"""Makes training of very deep networks start faster on TensorFlow; see docs/decisions/0006-very-deep-networks.md."""

from collections.abc import Callable

import keras
import tensorflow as tf

REWRITTEN_LAYERS = 1000  # maximum number of Keras layers with TensorFlow's graph rewriting


def is_very_deep(model: keras.Model) -> bool:
    """Returns whether a model has so many layers that TensorFlow's graph rewriting costs more than it saves."""
    return len(model.layers) > REWRITTEN_LAYERS


def bound_graph_rewriting(model: keras.Model) -> None:
    """Disables TensorFlow's graph rewriting in this process if the model is very deep.

    Graph rewriting makes steps a few percent faster on CPUs, but took 23 s of the 84 s before the first step of
    ResNet-1202 (`benchmarks/README.md`).
    """
    if is_very_deep(model):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def train_function(model: keras.Model) -> Callable:
    """Returns the training function of `fit` as one graph: TensorFlow inlines Keras's nested functions slowly."""
    bound_graph_rewriting(model)
    step = tf.function(model.train_step, reduce_retracing=True)
    created = False

    def train(iterator):
        nonlocal created
        batch = next(iterator)
        if not created:
            _create_variables(model, batch)
            created = True
        return step(batch)

    return train


def _create_variables(model, batch):
    """Creates the variables of optimizer and metrics: TensorFlow traces functions that create variables twice."""
    if model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)

    @tf.function
    def metrics():
        size = tf.shape(tf.nest.flatten(images)[0])[0]
        outputs = keras.tree.map_structure(lambda x: tf.zeros([size, *(n or 1 for n in x.shape[1:])]), model.output)
        return model.compute_metrics(images, labels, outputs, weights)

    metrics.get_concrete_function()  # traced, not run
