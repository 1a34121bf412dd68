"""Prints the JSON schema of configuration files; configs/schema.json is its output.

keras-resnet schema > configs/schema.json
"""

from keras_resnet.commands import entry
from keras_resnet.config import config_json_schema


def main(options, arguments):
    """Prints the schema."""
    entry.no_arguments(arguments)
    print(config_json_schema(), end="")
