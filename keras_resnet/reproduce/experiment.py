"""Defines an experiment: its recipe, runs and measurements, with their files. Does not import TensorFlow."""

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from keras_resnet.config import Config, load_config
from keras_resnet.config.recipes import find_recipe
from keras_resnet.errors import ConfigError
from keras_resnet.files import read
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.logs import read_metrics
from keras_resnet.specs import CIFAR_DEPTHS, SPECS

LAST_PART = 0.05  # share of the steps over which the final training error is averaged


@dataclass(frozen=True)
class Training:
    """A training run: a model name, a seed, and "group.key=value" changes to the experiment's recipe.

    A finding of another task than classification names a recipe of its own, on which the experiment's assignments of
    the group `train` alone are put. A run that `starts_from` another, which is trained before it, has that run's last
    weights as `model.weights`. `seconds` is its approximate duration on one core, by default an estimate for digits.
    """

    network: str
    seed: int = 0
    changes: tuple[str, ...] = ()
    recipe: str = ""
    starts_from: "Training | None" = None
    seconds: float | None = None


@dataclass(frozen=True)
class Measurement:
    """A call of a function whose result is stored as JSON.

    Attributes:
        function: "module:name" of `name(experiment, **arguments)`, which returns a JSON-serializable value. It runs in
            a worker process, with TensorFlow.
        arguments: ((name, value), ...) with JSON-serializable values.
        trainings: runs that the function reads, which are trained first.
        alone: run in a new process and without other jobs, to measure times and memory.
        seconds: approximate duration, for the estimate of the time left.
    """

    function: str
    arguments: tuple[tuple[str, Any], ...] = ()
    trainings: tuple[Training, ...] = ()
    alone: bool = False
    seconds: float = 10.0


Job = Training | Measurement


@dataclass(frozen=True)
class Experiment:
    """One recipe for all networks, and a folder for the results.

    Attributes:
        config: a YAML file. A network uses the file of its own name in the same folder, if any (plain110.yaml for
            cifar_plain110), as in configs/cifar10/.
        workdir: folder of the runs and measurements.
        assignments: "group.key=value" that override all other settings.
        depths: numbers of layers of the plain, residual and highway networks.
        seeds: seeds of every network.
    """

    config: str
    workdir: str
    assignments: tuple[str, ...] = ()
    depths: tuple[int, ...] = CIFAR_DEPTHS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def config_of(self, training: Training) -> Config:
        """Returns a run's configuration, before its epochs are converted to steps.

        Raises:
            ConfigError: same as `load_config`.
        """
        network = [f"model.name={training.network}", f"train.seed={training.seed}"]
        if training.starts_from:
            network.append(f"model.weights={self.folder(training.starts_from).last_weights}")
        if training.recipe:
            assigned = tuple(each for each in self.assignments if each.startswith("train."))
            return _loaded(find_recipe(training.recipe), (*network, *training.changes, *assigned))
        own = self._own_recipe(training.network)
        path = own if os.path.isfile(own) else self.config
        return _loaded(path, (*network, *training.changes, *self.assignments))

    def folder(self, training: Training) -> RunFolder:
        """Returns a run's folder. Its name ends with a digest, so each configuration has its own."""
        name = f"{training.network}-seed{training.seed}-{self.digest(training)}"
        return RunFolder(os.path.join(self.workdir, name))

    def digest(self, training: Training) -> str:
        """Returns 8 hex digits for the non-default settings, so a run stays valid when later versions add keys.

        They depend on the run that it starts from, but not on the path of its weights.
        """
        values = self.config_of(training).model_dump(mode="json", exclude_defaults=True)
        if training.starts_from:
            values["model"]["weights"] = self.digest(training.starts_from)
        return _digest(values)

    def test_file(self, training: Training) -> str:
        """Returns the path of the test metrics of a run's last weights."""
        return os.path.join(self.folder(training).path, "test.json")

    def answer_file(self, measurement: Measurement) -> str:
        """Returns the path of a measurement's result. As in `folder`, the name depends on all recipes."""
        function = measurement.function.rpartition(":")[2]
        # Measurements were functions of keras_resnet.analysis once; the results in existing workdirs keep their names.
        hashed = measurement.function.replace("keras_resnet.reproduce.", "keras_resnet.analysis.")
        said = [hashed, measurement.arguments, self.assignments]
        said += [[self.digest(training) for training in (*measurement.trainings, *self._recipes())]]
        return os.path.join(self.workdir, "measurements", f"{function}-{_digest(said)}.json")

    def is_done(self, job: Job) -> bool:
        """Returns whether a job is complete."""
        if isinstance(job, Measurement):
            return _json(self.answer_file(job)) is not None
        return self.folder(job).read_results() is not None and _json(self.test_file(job)) is not None

    def answer(self, measurement: Measurement) -> Any:
        """Returns the result of a measurement."""
        return self._there(self.answer_file(measurement))

    def results(self, training: Training) -> dict:
        """Returns the final metrics of a run, as in results.json."""
        return self.folder(training).read_results() or self._there(self.folder(training).results)

    def test(self, training: Training) -> dict[str, float]:
        """Returns the test metrics of a run's last weights."""
        return self._there(self.test_file(training))

    def test_error(self, training: Training) -> float:
        """Returns the test error of a run's last weights, in percent."""
        return self.test(training)["error"]

    def curve(self, training: Training, figure: str) -> tuple[list[int], list[float]]:
        """Returns (steps, values) of a metric over a run, such as "train/error" in percent."""
        lines = [line for line in read_metrics(self.folder(training).metrics) if figure in line]
        return [line["step"] for line in lines], [line[figure] for line in lines]

    def train_error(self, training: Training) -> float:
        """Returns the mean training error in percent, on augmented images, over the last 5 % of a run's steps."""
        steps, errors = self.curve(training, "train/error")
        last = [error for step, error in zip(steps, errors, strict=True) if step > (1 - LAST_PART) * steps[-1]]
        return sum(last) / len(last)

    def mean_train_error(self, training: Training) -> float:
        """Returns the mean training error in percent, on augmented images, over all steps; lower is faster learning."""
        _, errors = self.curve(training, "train/error")
        return sum(errors) / len(errors)

    @property
    def data(self) -> str:
        """Returns the name of the data set."""
        return self.config_of(Training("cifar_resnet20")).data.name

    @property
    def chance(self) -> float:
        """Returns the error of chance in percent: 100 classes for CIFAR-100, otherwise 10."""
        return 99.0 if self.data.startswith("tfds:cifar100") else 90.0

    def _own_recipe(self, network):
        return os.path.join(os.path.dirname(self.config), network.removeprefix("cifar_") + ".yaml")

    def _recipes(self):
        """Returns one run with the common recipe, and one per network that has its own recipe."""
        own = [name for name in SPECS if name.startswith("cifar_") and os.path.isfile(self._own_recipe(name))]
        return [Training("cifar_resnet20"), *map(Training, own)]

    @staticmethod
    def _there(path):
        found = _json(path)
        if found is None:
            raise ConfigError(f"{path}: is not there, or cannot be read; the same command again makes it again")
        return found


def cost(experiment: Experiment, job: Job) -> float:
    """Returns the approximate seconds of a job on one core with the digits data set; only ratios matter."""
    if job.seconds is not None:
        return job.seconds
    spec, train = SPECS[job.network], experiment.config_of(job).train
    slower = {"none": 0.85, "add": 1.0, "gate": 1.5}[spec.skip]
    steps = train.steps or 1000 * (train.epochs or 1) / 60
    return 4 + spec.layers / 20 + steps * train.batch_size / 64 * spec.layers * slower * 0.0007


@functools.cache
def _loaded(path, assignments):
    return load_config(path, assignments)


def _digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _json(path):
    try:
        return json.loads(read(path))
    except (OSError, ValueError):
        return None
