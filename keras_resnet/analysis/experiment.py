"""What an analysis rests on: the runs that it needs, where they lie, and what they found. Knows no TensorFlow."""

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from keras_resnet.config import Config, load_config
from keras_resnet.errors import ConfigError
from keras_resnet.files import read
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.metrics import read_metrics
from keras_resnet.specs import CIFAR_DEPTHS, SPECS

LAST_PART = 0.05  # of the steps, over which the training error at the end of a run is averaged


@dataclass(frozen=True)
class Training:
    """A training run: a model name, a seed, and "group.key=value" where it differs from the experiment's recipe."""

    network: str
    seed: int = 0
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """What a function finds out, kept as JSON.

    Attributes:
        function: "module:name" of `name(experiment, **arguments)`, whose answer JSON can hold. It runs in a process of
            its own kind, with TensorFlow.
        arguments: ((name, value), ...), values that JSON can hold.
        trainings: runs that it reads, made before it.
        alone: nothing else runs meanwhile, and the process is new: for times and memory.
        seconds: about how long it takes, for the estimate of the time left.
    """

    function: str
    arguments: tuple[tuple[str, Any], ...] = ()
    trainings: tuple[Training, ...] = ()
    alone: bool = False
    seconds: float = 10.0


Job = Training | Measurement


@dataclass(frozen=True)
class Experiment:
    """One recipe for every network, and a folder for what comes of it.

    Attributes:
        config: a YAML file. Where a file beside it is named after a network (plain110.yaml for cifar_plain110), that
            one is this network's, as in configs/cifar10/.
        workdir: folder of the runs and measurements.
        assignments: "group.key=value" on top of everything.
        depths: layers of the plain, residual and highway networks.
        seeds: of every network.
    """

    config: str
    workdir: str
    assignments: tuple[str, ...] = ()
    depths: tuple[int, ...] = CIFAR_DEPTHS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def config_of(self, training: Training) -> Config:
        """A run's configuration, its time not resolved yet.

        Raises:
            ConfigError: as `load_config`.
        """
        own = self._own_recipe(training.network)
        path = own if os.path.isfile(own) else self.config
        network = (f"model.name={training.network}", f"train.seed={training.seed}")
        return _loaded(path, (*network, *training.changes, *self.assignments))

    def folder(self, training: Training) -> RunFolder:
        """Where a run lies. Its name ends with a digest of its configuration: another one gets another folder."""
        name = f"{training.network}-seed{training.seed}-{self.digest(training)}"
        return RunFolder(os.path.join(self.workdir, name))

    def digest(self, training: Training) -> str:
        """Eight hexadecimal digits of what departs from the defaults, so that keys of later versions lose no run."""
        return _digest(self.config_of(training).model_dump(mode="json", exclude_defaults=True))

    def test_file(self, training: Training) -> str:
        """Where the figures on the test images of a run's last weights lie."""
        return os.path.join(self.folder(training).path, "test.json")

    def answer_file(self, measurement: Measurement) -> str:
        """Where a measurement's answer lies. As `folder`: what any of the recipes says is part of the name."""
        function = measurement.function.rpartition(":")[2]
        said = [measurement.function, measurement.arguments, self.assignments]
        said += [[self.digest(training) for training in (*measurement.trainings, *self._recipes())]]
        return os.path.join(self.workdir, "measurements", f"{function}-{_digest(said)}.json")

    def is_done(self, job: Job) -> bool:
        """Whether nothing is left to do of it."""
        if isinstance(job, Measurement):
            return _json(self.answer_file(job)) is not None
        return self.folder(job).read_results() is not None and _json(self.test_file(job)) is not None

    def answer(self, measurement: Measurement) -> Any:
        """What the measurement found."""
        return self._there(self.answer_file(measurement))

    def results(self, training: Training) -> dict:
        """The final figures of a run, as in results.json."""
        return self.folder(training).read_results() or self._there(self.folder(training).results)

    def test_error(self, training: Training) -> float:
        """Percent of the test images that a run's last weights name wrongly."""
        return self._there(self.test_file(training))["error"]

    def curve(self, training: Training, figure: str) -> tuple[list[int], list[float]]:
        """(steps, values) of a figure such as "train/error", in percent, over a run."""
        lines = [line for line in read_metrics(self.folder(training).metrics) if figure in line]
        return [line["step"] for line in lines], [line[figure] for line in lines]

    def train_error(self, training: Training) -> float:
        """Percent of the varied training images named wrongly during the last 5 % of a run's steps."""
        steps, errors = self.curve(training, "train/error")
        last = [error for step, error in zip(steps, errors, strict=True) if step > (1 - LAST_PART) * steps[-1]]
        return sum(last) / len(last)

    def mean_train_error(self, training: Training) -> float:
        """Average training error in percent, on augmented images, over all steps: lower means it learned faster."""
        _, errors = self.curve(training, "train/error")
        return sum(errors) / len(errors)

    @property
    def data(self) -> str:
        """The name of the image set."""
        return self.config_of(Training("cifar_resnet20")).data.name

    @property
    def chance(self) -> float:
        """Error in percent of guessing; networks that tell 10 classes apart unless the data are CIFAR-100."""
        return 99.0 if self.data.startswith("tfds:cifar100") else 90.0

    def _own_recipe(self, network):
        return os.path.join(os.path.dirname(self.config), network.removeprefix("cifar_") + ".yaml")

    def _recipes(self):
        """A run by the common recipe, and one by each that is a network's own."""
        own = [name for name in SPECS if name.startswith("cifar_") and os.path.isfile(self._own_recipe(name))]
        return [Training("cifar_resnet20"), *map(Training, own)]

    @staticmethod
    def _there(path):
        found = _json(path)
        if found is None:
            raise ConfigError(f"{path}: is not there, or cannot be read; the same command again makes it again")
        return found


def cost(experiment: Experiment, job: Job) -> float:
    """About how many seconds of one core a job takes on the digits; only ratios matter."""
    if isinstance(job, Measurement):
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
