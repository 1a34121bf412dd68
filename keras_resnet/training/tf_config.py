"""The variable by which tf.distribute knows its workers, checked before TensorFlow is loaded."""

import json
import os

from keras_resnet.errors import ConfigError


def check_tf_config() -> None:
    """Raises a `ConfigError` where `TF_CONFIG` is missing or does not name this worker in its cluster."""
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ConfigError(
            f"--strategy=multi_worker: the variable TF_CONFIG is not set; expected, for example, {example}"
        )
    try:
        config = json.loads(text)
        task = config["task"]
        config["cluster"][task["type"]][int(task["index"])]
    except (ValueError, KeyError, IndexError, TypeError):
        raise ConfigError(f"TF_CONFIG: expected, for example, {example}, got {text[:200]}") from None
