"""Every row of the table of optimizers has what a run needs: options, averages, clipping, rollbacks, resuming."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from faults_rig import differences
from faults_rig import train as train_command

from keras_resnet.config import Config, load_config
from keras_resnet.errors import ConfigError
from keras_resnet.optimizers import OPTIMIZERS
from keras_resnet.runs.checkpoints import RunState
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.saver import Saver
from keras_resnet.training.optimizer import build_optimizer
from keras_resnet.weights.native import named_variables, to_tensors

DIGITS = str(ROOT / "configs/digits/resnet20.yaml")
# That of the fault tests has 48 steps of learning rate 0.1, which is too much for all but sgd.
RATES = {"sgd": 0.1, "adamw": 0.002, "lamb": 0.01, "lars": 1.0, "lion": 0.0003, "muon": 0.01}


def network(strategy):
    """Returns a convolution, a normalization and a classifier, of the same initial weights each time."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        return keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                keras.layers.Conv2D(4, 3, name="stage1_conv"),
                keras.layers.BatchNormalization(name="stage1_bn"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, name="logits"),
            ],
            name="network",
        )


class Process:
    """What one process of a run has: a model, its optimizer and the saver of the folder."""

    def __init__(self, name, strategy, folder):
        train = {"steps": 6, "optimizer": name, "learning_rate": RATES[name], "weight_decay": 0.1}
        train |= {"ema_decay": 0.9, "global_clipnorm": 0.5, "layer_decay": 0.5, "warmup_steps": 2, "schedule": "cosine"}
        config = Config.model_validate({"train": train})
        self.strategy, self.model = strategy, network(strategy)
        with strategy.scope():
            self.optimizer = build_optimizer(config.train, self.model.trainable_variables)
        self.saver = Saver(config, self.model, self.optimizer, folder, True, pytest.fail)

    def steps(self, first, last):
        """Trains with gradients that are functions of the number of the step, the same on every replica."""
        replicas = self.strategy.num_replicas_in_sync

        def step(number):
            gradients = [
                tf.random.stateless_normal(variable.shape, tf.stack([number, i])) / replicas
                for i, variable in enumerate(self.model.trainable_variables)
            ]
            self.optimizer.apply(gradients, self.model.trainable_variables)

        compiled = tf.function(lambda number: self.strategy.run(step, (number,)), autograph=False)
        for number in range(first, last):
            compiled(tf.constant(number))
        return self

    def save(self, step):
        self.saver.save(RunState(step=step))
        self.saver.wait()
        self.saver.close()

    @property
    def arrays(self):
        named = {variable.path: variable for variable in self.optimizer.variables}
        return to_tensors(named_variables(self.model) | named)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_resumes_with_equal_bits(tmp_path, strategies, name):
    """A rollback's learning rate factor too, with averages, clipping and learning rates of layers."""
    folders = [RunFolder(str(tmp_path / each)) for each in ("whole", "resumed")]
    for folder in folders:
        folder.make()
    whole, killed = (Process(name, strategies[1], folder) for folder in folders)
    for process in (whole, killed):
        process.steps(0, 3)
    killed.save(3)
    resumed = Process(name, strategies[1], folders[1])
    assert resumed.saver.restore().step == 3
    before = resumed.arrays
    for process in (whole, resumed):
        process.optimizer.learning_rate_factor.assign(0.5)
        process.steps(3, 6)
    assert whole.arrays.keys() == resumed.arrays.keys()
    for path, value in whole.arrays.items():
        assert value.tobytes() == resumed.arrays[path].tobytes(), path
        moved = not np.array_equal(value, before[path])
        assert moved == (not path.endswith(("moving_mean", "moving_variance"))), path


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_is_the_same_on_two_replicas(tmp_path, strategies, name):
    folder = RunFolder(str(tmp_path / "run"))
    folder.make()
    one, two = (Process(name, strategies[count], folder).steps(0, 4).arrays for count in (1, 2))
    for path, value in one.items():
        np.testing.assert_allclose(two[path], value, rtol=1e-5, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_on_selects_what_is_decayed(name):
    """Without gradient, only decayed variables move; momenta and means of nothing are nothing."""
    moved = {}
    for on in ("kernels", "all"):
        train = {"steps": 1, "optimizer": name, "learning_rate": 0.5, "weight_decay": 0.1, "schedule": "constant"}
        variables = [keras.Variable(tf.ones(shape)) for shape in ((2, 2), (2,))]
        optimizer = build_optimizer(Config.model_validate({"train": train | {"weight_decay_on": on}}).train, variables)
        optimizer.apply([tf.zeros((2, 2)), tf.zeros((2,))], variables)
        moved[on] = [bool((variable.numpy() < 1).all()) for variable in variables]
    assert moved == {"kernels": [True, False], "all": [True, True]}


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["train.betas=[0.9,0.99]"],
            "train.betas: is an option of adamw, lamb, lion, muon, not of train.optimizer: sgd",
        ),
        (["train.optimizer=lion", "train.epsilon=0.1"], "train.epsilon: is an option of adamw, lamb, muon, not of"),
        (["train.optimizer=lamb", "train.trust_coefficient=0.1"], "train.trust_coefficient: is an option of lars"),
        (["train.optimizer=lamb", "train.betas=[0.9]"], "train.betas: expected two numbers, got"),
        (["train.optimizer=lamb", "train.betas=[0.9,1.0]"], "expected a list of numbers > 0 and < 1"),
        (["train.optimizer=muan"], 'got "muan"; did you mean "muon"'),
    ],
)
def test_option_of_another_optimizer_is_refused(assignments, message):
    with pytest.raises(ConfigError) as error:
        load_config(DIGITS, assignments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "sgd"])  # test_resume.py has sgd
def test_run_of_optimizer_killed_and_resumed_is_bit_identical(tmp_path, name):
    flags = [f"--set=train.optimizer={name}", f"--set=train.learning_rate={RATES[name]}", "--set=train.steps=12"]
    assert train_command(tmp_path / "whole", *flags).returncode == 0
    point = "runs.checkpoints:write_synced:before:6:kill"
    assert train_command(tmp_path / "killed", *flags, fault_at=point).returncode == -9
    process = train_command(tmp_path / "killed", *flags)
    assert process.returncode == 0, process.stderr
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
