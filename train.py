"""Trains a network.

    python train.py --strategy=mirrored
    python train.py --config=configs/digits/resnet20.yaml --set train.seed=1 --workdir=runs/seed1

The same command again continues the run, or says that it is finished.
"""

import os

from absl import flags

from keras_resnet.commands import entry
from keras_resnet.commands.train import train

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT_CONFIG = os.path.relpath(os.path.join(HERE, "configs/digits/resnet20.yaml"))

CONFIG = flags.DEFINE_string("config", DEFAULT_CONFIG, "YAML file that describes the run; see configs/.")
SET = flags.DEFINE_multi_string("set", [], "group.key=value on top of the file; may be given several times.")
WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder; default runs/<config>-<hash of the configuration>.")
STRATEGY = flags.DEFINE_string("strategy", "one_device", "one_device, mirrored or multi_worker.")
VIRTUAL_DEVICES = flags.DEFINE_integer("virtual_devices", 0, "Split the CPU into so many devices.", lower_bound=0)
REQUIRE_GPUS = flags.DEFINE_integer("require_gpus", 0, "Refuse to start with fewer GPUs.", lower_bound=0)
PRINT_CONFIG = flags.DEFINE_boolean("print_config", False, "Print the configuration with every default, and stop.")


def main(positional):
    """Trains what the flags say."""
    entry.no_arguments(positional)
    train(
        CONFIG.value,
        SET.value,
        workdir=WORKDIR.value,
        strategy=STRATEGY.value,
        virtual_devices=VIRTUAL_DEVICES.value,
        require_gpus=REQUIRE_GPUS.value,
        print_config=PRINT_CONFIG.value,
    )


if __name__ == "__main__":
    entry.main(main, usage=__doc__)
