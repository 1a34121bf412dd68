"""Recipe options of a step against their definitions: accumulation, clipping, weight averages, fine-tuning."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_task

from keras_resnet.config import Config
from keras_resnet.data.pipeline import Shard, training_batches
from keras_resnet.sgd import SGD
from keras_resnet.task import load_task
from keras_resnet.training.averages import averaged_weights, reestimate_statistics
from keras_resnet.training.optimizer import build_optimizer, learning_rate_factors, part_of, prepare
from keras_resnet.training.steps import make_train_step
from keras_resnet.weights.native import named_variables, to_tensors


class Started:
    """Builds a model, its optimizer and its train step under a strategy."""

    def __init__(self, strategy, model=None, make_task=tiny_task, **train):
        steps = {"steps": 10, "batch_size": 16, "learning_rate": 0.02, "batch_norm": "frozen"}
        config = Config.model_validate(
            {"model": model or {}, "train": steps | train, "data": {"random_crop_padding": 1}}
        )
        self.task, self.strategy = make_task(config), strategy
        keras.utils.set_random_seed(0)
        with strategy.scope():
            self.model = self.task.build_model()
            prepare(self.model, config.train)
            self.optimizer = build_optimizer(self.task.config.train, self.model.trainable_variables)
        self.step = make_train_step(self.task, self.model, self.optimizer, strategy)

    def run(self, steps):
        batches = training_batches(self.task, self.strategy, 0)
        for _ in range(steps):
            batch = next(batches)
            self.step(self.strategy.run(cast_floats, (batch,)) if keras.config.floatx() == "float64" else batch)
        return self

    @property
    def weights(self):
        return to_tensors(named_variables(self.model))


def cast_floats(batch):
    """Casts the floats of a batch, which the data pipeline makes in float32, to Keras's precision."""
    return tf.nest.map_structure(lambda x: tf.cast(x, keras.config.floatx()) if x.dtype.is_floating else x, batch)


def assert_same(one, other, tolerance=1e-5):
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.sampled("1")
@pytest.mark.parametrize("replicas", [1, 2])
def test_gradient_accumulation_equals_the_whole_batch(strategies, replicas, float64):
    """float64 keeps rounding far below any error; in float32 it is 1e-5 of a weight, depending on the kernels.

    A sum over n terms in another order differs by up to n eps of the sum of their absolute values, and cancellation
    makes that large relative to a gradient. Here n is at most 16,384 (images times pixels) and eps is 2.2e-16: 4e-12
    of that sum. The weights of three steps stay within 1e-10. A lost or wrongly weighted part moves them by 1e-3.
    """
    whole = Started(strategies[1]).run(3).weights
    assert_same(whole, Started(strategies[replicas], gradient_accumulation_steps=4).run(3).weights, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_global_clipnorm_clips_the_norm_of_the_whole_gradient(strategies, replicas):
    """One step without momentum, decay and warm-up moves the weights by learning rate times global_clipnorm."""
    train = {"momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.5, "schedule": "constant"}
    started = Started(strategies[replicas], global_clipnorm=0.01, **train)
    before = started.weights
    after = started.run(1).weights
    moved = np.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in before))
    assert moved == pytest.approx(0.5 * 0.01, rel=1e-3)
    free = Started(strategies[replicas], global_clipnorm=1e6, **train).run(1).weights
    assert_same(free, Started(strategies[replicas], **train).run(1).weights)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_ema_decay_averages_the_weights(strategies, replicas):
    started = Started(strategies[replicas], ema_decay=0.9)
    batches, average = training_batches(started.task, strategies[replicas], 0), None
    for _ in range(4):
        started.step(next(batches))
        average = (
            started.weights
            if average is None
            else {name: 0.9 * average[name] + 0.1 * value for name, value in started.weights.items()}
        )
    trained = started.weights
    with averaged_weights(started.model, started.optimizer):
        assert_same(average, started.weights, 1e-6)
    for name, value in trained.items():
        np.testing.assert_array_equal(started.weights[name], value)
    assert any(np.abs(average[name] - trained[name]).max() > 1e-4 for name in trained)


@pytest.mark.sampled("1")
@pytest.mark.parametrize("replicas", [1, 2])
def test_reestimate_statistics_equals_statistics_of_all_outputs(strategies, replicas):
    """Tests the stem, whose inputs do not depend on other statistics: mean and variance of all its outputs."""
    started = Started(strategies[replicas], batch_norm="per_replica", precise_bn_batches=5).run(2)
    trained = started.weights
    reestimate_statistics(started.task, started.model, strategies[replicas], 5)
    after = started.weights
    stem = keras.Model(started.model.input, started.model.get_layer("stem_conv").output)
    outputs = []
    for batch, _ in zip(training_batches(started.task, strategies[1], 0), range(5), strict=False):
        (images, _), _ = batch
        outputs.append(np.asarray(stem(images), np.float64).reshape(-1, 16))
    outputs = np.concatenate(outputs)
    np.testing.assert_allclose(after["stem_bn/moving_mean"], outputs.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["stem_bn/moving_variance"], outputs.var(0), rtol=2e-2 if replicas > 1 else 1e-4)
    for name, value in trained.items():
        if "moving" not in name:
            np.testing.assert_array_equal(after[name], value)
    assert started.model.get_layer("stem_bn").momentum == 0.9


@pytest.mark.slow
def test_synchronized_batch_norm_uses_the_whole_batch(strategies):
    """The whole ResNet-20, in which statistics of half a batch move the weights measurably within two steps."""
    one = Started(strategies[1], make_task=load_task, batch_norm="per_replica").run(2).weights
    both = Started(strategies[2], make_task=load_task, batch_norm="synchronized").run(2).weights
    apart = Started(strategies[2], make_task=load_task, batch_norm="per_replica").run(2).weights
    assert_same(one, both, 2e-4)
    assert any(np.abs(apart[name] - value).max() > 1e-2 for name, value in one.items())


@pytest.mark.slow
def test_frozen_batch_norm_keeps_statistics_and_trains_scales(strategies):
    started = Started(strategies[1])
    before, after = started.weights, started.run(2).weights
    for name in before:
        assert np.array_equal(before[name], after[name]) == ("moving" in name or "preprocessing" in name), name


@pytest.mark.slow
@pytest.mark.parametrize("until", ["stem", "stage2"])
def test_freeze_at_keeps_the_weights_of_frozen_stages(strategies, until):
    started = Started(strategies[1], freeze_at=until, batch_norm="per_replica")
    before, after = started.weights, started.run(2).weights
    for name in before:
        stays = part_of(name) <= part_of(until)
        assert np.array_equal(before[name], after[name]) == stays, name


def test_learning_rate_factors_are_smaller_for_lower_stages():
    class Named:
        def __init__(self, path):
            self.path = path

    paths = ("stem_conv/kernel", "stage1_block1_bn1/gamma", "stage3_block2_bn1/gamma", "last_bn/gamma", "logits/bias")
    factors = learning_rate_factors([Named(path) for path in paths], 0.5)
    assert factors == [0.0625, 0.125, 0.5, 1.0, 1.0]
    variables = [keras.Variable([1.0, 2.0]), keras.Variable([3.0])]
    optimizer = SGD(0.1, momentum=0.0, learning_rate_factors=[0.5, 1.0])
    optimizer.build(variables)
    optimizer.apply_gradients(zip([tf.constant([1.0, 1.0]), tf.constant([1.0])], variables, strict=True))
    np.testing.assert_allclose(variables[0], [0.95, 1.95])
    np.testing.assert_allclose(variables[1], [2.9])


def test_weight_decay_on_kernels_or_all_weights():
    variables = [keras.Variable([[1.0]]), keras.Variable([1.0])]
    for weight_decay_on, expected in (("kernels", (0.9, 1.0)), ("all", (0.9, 0.9))):
        for variable in variables:
            variable.assign(tf.ones_like(variable.value))
        optimizer = SGD(1.0, momentum=0.0, weight_decay=0.1, weight_decay_on=weight_decay_on)
        optimizer.build(variables)
        optimizer.apply_gradients(zip([tf.zeros((1, 1)), tf.zeros((1,))], variables, strict=True))
        np.testing.assert_allclose([float(variables[0][0, 0]), float(variables[1][0])], expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_drop_path_and_zero_init_last_gamma_train(strategies, replicas):
    started = Started(
        strategies[replicas], {"drop_path_rate": 0.5, "zero_init_last_gamma": True}, batch_norm="per_replica"
    )
    before = started.weights
    assert not before["stage1_block1_bn2/gamma"].any()
    after = started.run(2).weights
    assert set(before) == set(after)
    assert not any("seed" in name for name in after)  # of random layers, files hold nothing
    assert np.abs(after["stage3_block1_bn2/gamma"]).max() > 0


def test_ema_every_updates_the_average_at_every_third_step():
    """Steps 0, 3 and 6 update it, as torchvision's --model-ema-steps=3: w is 1, 2, ... after them."""
    variable = keras.Variable([0.0])
    train = {"steps": 9, "learning_rate": 1.0, "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    train |= {"ema_decay": 0.5, "ema_every": 3}
    optimizer = build_optimizer(Config.model_validate({"train": train}).train, [variable])
    averages = []
    for _ in range(7):
        optimizer.apply([tf.constant([-1.0])], [variable])
        averages.append(float(optimizer._model_variables_moving_average[0].numpy()[0]))
    assert averages == [1.0, 1.0, 1.0, 2.5, 2.5, 2.5, 4.75]


def test_training_images_are_smaller_than_those_of_evaluation():
    config = {"train": {"steps": 2, "batch_size": 4}, "data": {"image_size": 16, "train_image_size": 8}}
    task = load_task(Config.model_validate(config | {"model": {"name": "cifar_resnet8"}}))
    model = task.build_model()
    (images, _), _ = next(iter(task.train_dataset(0, Shard(0, 1, 4))))
    (tested, _), _ = next(iter(task.eval_dataset("validation", Shard(0, 1, 8))))
    assert (images.shape, tested.shape) == ((4, 8, 8, 1), (8, 16, 16, 1))
    assert (model(images).shape, model(tested).shape) == ((4, 10), (8, 10))
    assert "the network sees 16x16x1, in training 8x8x1" in task.overview(model)["images"]
    assert task.description.preprocessing.image_size == 16
