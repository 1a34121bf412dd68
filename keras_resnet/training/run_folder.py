"""A run's folder: what lies where, and whose it is."""

import json
import os
from importlib.metadata import PackageNotFoundError, version

from keras_resnet.config import Config, load_config
from keras_resnet.errors import ConfigError

_PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "tf-models-official", "scikit-learn")


class RunFolder:
    """Paths of a run.

    config.yaml               the resolved configuration
    environment.json          versions of everything
    checkpoints/step-*/       what the run goes on from
    weights/best.safetensors  by validation; weights/last.safetensors at the end
    metrics.jsonl             a line per report, each step once
    tensorboard/  curves.png  the same as pictures
    results.json              the final figures; there when the run is finished
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
        self.results = os.path.join(path, "results.json")

    @classmethod
    def default(cls, config_path: str, config: Config) -> "RunFolder":
        """runs/<config>-<hash>: "configs/digits/resnet20.yaml" -> "runs/digits-resnet20-1a2b3c4d"."""
        folder, file = os.path.split(os.path.abspath(config_path))
        name = f"{os.path.basename(folder)}-{os.path.splitext(file)[0]}-{config.digest()}"
        return cls(os.path.join("runs", name))

    def claim(self, config: Config) -> None:
        """Makes the folder this run's, or finds that it is.

        Raises:
            ConfigError: it holds another run or something else, or cannot be written.
        """
        if os.path.exists(self.config):
            check_same(self.read_config(), config, self.path)
            return
        try:
            if os.path.isdir(self.path) and os.listdir(self.path):
                raise ConfigError(f"--workdir={self.path}: the folder is not empty and holds no run; name another")
            os.makedirs(os.path.dirname(self.best_weights), exist_ok=True)
            os.makedirs(self.checkpoints, exist_ok=True)
            write_text(self.environment, json.dumps(_environment(), indent=1) + "\n")
            write_text(self.config, config.to_yaml())
        except OSError as error:
            raise ConfigError(f"--workdir={self.path}: cannot be written ({error.strerror})") from None

    def read_config(self) -> Config:
        """The resolved configuration of the run.

        Raises:
            ConfigError: the folder holds no run.
        """
        if not os.path.isfile(self.config):
            raise ConfigError(f"--workdir={self.path}: no run lies there (there is no {self.config})")
        return load_config(self.config)

    def read_results(self) -> dict | None:
        """The final figures, or None while the run is unfinished."""
        if not os.path.isfile(self.results):
            return None
        with open(self.results, encoding="utf-8") as file:
            return json.load(file)

    def point_latest(self) -> None:
        """Makes `latest`, beside this folder, a link to it."""
        link = os.path.join(os.path.dirname(os.path.abspath(self.path)), "latest")
        aside = f"{link}.{os.getpid()}"
        try:
            os.symlink(os.path.basename(os.path.abspath(self.path)), aside)
            os.replace(aside, link)
        except OSError:  # a convenience, not worth a run
            if os.path.islink(aside):
                os.remove(aside)


def check_same(there: Config, here: Config, path: str) -> None:
    """Raises a `ConfigError` that names the first key in which two configurations differ."""
    left, right = there.model_dump(), here.model_dump()
    if left == right:
        return
    for group, values in left.items():
        pairs = values.items() if isinstance(values, dict) else [("", values)]
        for key, value in pairs:
            other = right[group][key] if key else right[group]
            if value != other:
                name = f"{group}.{key}" if key else group
                raise ConfigError(
                    f"--workdir={path}: holds another run: {name} is {value} there and {other} here; "
                    "name another folder, or leave --workdir out"
                )


def write_text(path: str, text: str) -> None:
    """Writes a file aside and renames it, so that it is whole or absent."""
    aside = f"{path}.tmp-{os.getpid()}"
    with open(aside, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(aside, path)


def _environment():
    import platform

    def installed(name: str):
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    from keras_resnet import __version__

    packages = {name: installed(name) for name in _PACKAGES}
    return {
        "keras_resnet": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    } | packages
