"""The folder of a run: its paths, its saved configuration, and checks that it belongs to the same run."""

import json
import os
import platform
import shlex
import subprocess
from importlib.metadata import distributions

from keras_resnet.config import Config, first_difference, load_saved_config
from keras_resnet.description import Description, different_classes
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.files import is_file, is_remote, make_folder, names, read, remove, remove_folder, write_atomically
from keras_resnet.processor import describe
from keras_resnet.weights.tensors import read_metadata

LOCKS = (".lock", ".holder.json")


class RunFolder:
    """The folder of a run and the paths in it.

    config.yaml               the resolved configuration
    environment.json          versions of all packages
    checkpoints/step-*/       the resumable state of the run
    divergences.json          the steps at which the loss diverged, and the rollbacks
    log.txt                   when each process started, resumed and stopped, and its warnings
    .lock  .holder.json       the process that trains in the folder
    weights/best.safetensors  the best by validation; weights/last.safetensors at the end
    metrics.jsonl             one line per log interval, each step once
    tensorboard/  curves.png  the same as plots
    description.json          the model description: architecture, preprocessing, class names
    examples.png              the first training images, as the network's input
    example_images.npz        a few preprocessed images, for exporting without the data set
    README.md                 the model card of a finished run
    results.json              the final metrics of a finished run
    """

    def __init__(self, path: str):
        self.path = path
        self.config = os.path.join(path, "config.yaml")
        self.environment = os.path.join(path, "environment.json")
        self.checkpoints = os.path.join(path, "checkpoints")
        self.best_weights = os.path.join(path, "weights", "best.safetensors")
        self.last_weights = os.path.join(path, "weights", "last.safetensors")
        self.metrics = os.path.join(path, "metrics.jsonl")
        self.tensorboard = os.path.join(path, "tensorboard")
        self.curves = os.path.join(path, "curves.png")
        self.description = os.path.join(path, "description.json")
        self.examples = os.path.join(path, "examples.png")
        self.kept_images = os.path.join(path, "example_images.npz")
        self.card = os.path.join(path, "README.md")
        self.results = os.path.join(path, "results.json")
        self.divergences = os.path.join(path, "divergences.json")
        self.log = os.path.join(path, "log.txt")
        self.lock, self.holder = (os.path.join(path, name) for name in LOCKS)

    @classmethod
    def default(cls, config_path: str, config: Config) -> "RunFolder":
        """Returns runs/<config>-<hash>: "configs/digits/resnet20.yaml" -> "runs/digits-resnet20-1a2b3c4d"."""
        return cls(cls.default_pattern(config_path).replace("*", config.digest()))

    @staticmethod
    def default_pattern(config_path: str) -> str:
        """Returns the pattern of the default folders of all runs of a configuration file."""
        folder, file = os.path.split(os.path.abspath(config_path))
        return os.path.join("runs", f"{os.path.basename(folder)}-{os.path.splitext(file)[0]}-*")

    def claim(self, config: Config, description: Description) -> None:
        """Creates the folder for this run, or checks that it holds this run and updates the keys that may change.

        A run that failed before it stored anything, such as one with a wrong path, is replaced.

        Raises:
            ConfigError: the folder holds another run or other files, or cannot be written.
            DataError: the run has other classes.
        """
        is_new = not self.is_run()
        if not is_new:
            there = self.read_config()
            try:
                check_same(there, config, self)
                check_classes(self.read_description(), description, self.path)
            except (ConfigError, DataError):
                if self.has_progress():
                    raise
                is_new = True
                remove_folder(self.checkpoints)  # of step 0
            else:
                if there == config or self.read_results() is not None:
                    return
        try:
            self.make()
            write_text(self.environment, json.dumps(_environment(), indent=1) + "\n")
            if is_new:
                write_text(self.description, json.dumps(description.to_json(), indent=1) + "\n")
            write_text(self.config, config.to_yaml())
        except OSError as error:
            raise ConfigError(f"--workdir={self.path}: cannot be written ({error.strerror})") from None

    def make(self) -> None:
        """Creates the folder and its subfolders if they do not exist.

        Raises:
            ConfigError: the folder holds other files, or cannot be created.
        """
        self.check_free()
        try:
            make_folder(os.path.dirname(self.best_weights))
            make_folder(self.checkpoints)
        except OSError as error:
            raise ConfigError(f"--workdir={self.path}: cannot be written ({error.strerror})") from None

    def clean_up(self) -> None:
        """Removes partly written files of crashes; only the process that holds the folder's lock may call it."""
        for folder in (self.path, os.path.dirname(self.best_weights)):
            for name in names(folder):
                if ".tmp-" in name:
                    remove(os.path.join(folder, name))

    def check_free(self) -> None:
        """Raises a `ConfigError` if the folder is not empty and holds no run, not even a partly created one."""
        there = set(names(self.path))
        ours = {"environment.json", "description.json", "weights", "checkpoints", *LOCKS}
        if "config.yaml" not in there and [name for name in there - ours if ".tmp-" not in name]:
            raise ConfigError(f"--workdir={self.path}: the folder is not empty and holds no run; name another")
        if is_remote(self.path):  # an error appears when the configuration is written
            return
        parent = os.path.abspath(self.path)
        while not os.path.exists(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(parent) or not os.access(parent, os.W_OK):
            raise ConfigError(f"--workdir={self.path}: cannot be written, because of {parent}")

    def is_run(self) -> bool:
        """Returns whether the folder holds a run, finished or not."""
        return is_file(self.config)

    def has_progress(self) -> bool:
        """Returns whether the folder holds a run that has metrics, weights or a checkpoint, or runs before it have.

        Every run begins with a checkpoint of step 0, which is none.
        """
        if not self.is_run():
            return False
        if any(name.removeprefix("step-").lstrip("0").isdecimal() for name in names(self.checkpoints)):
            return True
        if any(map(is_file, (self.best_weights, self.last_weights, self.results))):
            return True
        if is_file(self.metrics) and read(self.metrics):
            return True
        earlier = self.read_config().earlier_runs()
        return any(RunFolder(os.path.join(self.path, name)).has_progress() for name in earlier)

    def read_config(self) -> Config:
        """Returns the resolved configuration of the run.

        Raises:
            ConfigError: the folder holds no run, or the run has keys that this version does not know.
        """
        if not self.is_run():
            raise ConfigError(f"--workdir={self.path}: contains no run (there is no {self.config})")
        return load_saved_config(self.config, self.read_environment().get("keras_resnet"))

    def read_environment(self) -> dict:
        """Returns the versions with which the configuration was written; {} if they cannot be read."""
        try:
            environment = json.loads(read(self.environment))
        except (OSError, ValueError):
            return {}
        return environment if isinstance(environment, dict) else {}

    def read_description(self) -> Description | None:
        """Returns the run's model description; None if version 0.1 wrote the run and has not evaluated it yet.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            if is_file(self.description):
                return Description.from_json(json.loads(read(self.description)))
            return Description.from_metadata(read_metadata(self.best_weights)) if is_file(self.best_weights) else None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.path}: the description of its network cannot be read ({error})") from None

    def read_results(self) -> dict | None:
        """Returns the final metrics; None if the run is unfinished or they cannot be read."""
        try:
            results = json.loads(read(self.results))
        except (OSError, ValueError):
            return None
        return (
            results
            if isinstance(results, dict) and {"steps", "validation", "best", "seconds"} <= set(results)
            else None
        )

    def point_latest(self) -> None:
        """Makes the link `latest` next to this folder point to it, unless another kind of file has that name."""
        link = os.path.join(os.path.dirname(os.path.abspath(self.path)), "latest")
        staging = f"{link}.{os.getpid()}"
        try:
            os.symlink(os.path.basename(os.path.abspath(self.path)), staging)
            os.replace(staging, link)
        except OSError:  # optional: its failure does not stop a run
            if os.path.islink(staging):
                os.remove(staging)


def check_checkpoint_name(name: str) -> None:
    """Raises a `ConfigError` unless the name is "best", "last" or a step."""
    if not (name in ("best", "last") or name.isdecimal()):
        raise ConfigError(f'--checkpoint={name}: expected "best", "last" or a step, such as 1000')


def check_same(there: Config, here: Config, folder: RunFolder) -> None:
    """Raises a `ConfigError` that names the first key in which two configurations differ, and the alternatives."""
    difference = first_difference(there.model_dump(), here.model_dump())
    if difference:
        other = "name another folder, or omit --workdir"
        helps = _moved(there.data.name, here.data.name) or continuation(folder, difference)
        raise ConfigError(f"--workdir={folder.path}: holds another run: {difference}; {other}{helps}")


def _moved(there, here):
    """Returns a hint for resuming after the image folder was moved, if `here` may be the same folder; else ""."""
    (kind, _, path), (kind_here, _, path_here) = there.partition(":"), here.partition(":")
    if there == here or kind != kind_here or not path or os.path.exists(path):
        return ""
    link = f"ln -s {shlex.quote(os.path.abspath(path_here))} {shlex.quote(path)}"
    return f"; if {path} was moved, leave data.name as it was and link it: {link}"


def continuation(folder: RunFolder, difference: str) -> str:
    """Returns a hint for training the run's weights with another recipe, if it has weights; else ""."""
    weights = next((path for path in (folder.last_weights, folder.best_weights) if is_file(path)), None)
    if weights is None or difference.startswith(("model.", "task ", "train.seed ")):
        return ""
    return f"; there, --set=model.weights={weights} starts from its weights"


def check_classes(there: Description | None, here: Description, path: str) -> None:
    """Raises a `DataError` if the known classes of a run differ from those of the current data set."""
    difference = different_classes(here.labels, there.labels) if there else ""
    if difference:
        raise DataError(f"--workdir={path}: the classes of the data set are not those of the run: {difference}")


def write_text(path: str, text: str) -> None:
    """Writes a text file atomically."""
    write_atomically(path, text.encode())


def _environment():
    from keras_resnet import __version__

    found = [each.metadata for each in distributions()]  # parsed at each access
    packages = {each["Name"]: each["Version"] for each in sorted(found, key=lambda each: each["Name"].lower())}
    folder = os.path.dirname(os.path.abspath(__file__))
    git = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "keras_resnet": __version__,
        "commit": git.stdout.strip() or None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": describe(),
    } | packages
