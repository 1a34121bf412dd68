"""Imports TensorFlow without the notices that it prints: version 2.21's ignore TF_CPP_MIN_LOG_LEVEL."""

import importlib.abc
import importlib.util
import os
import sys

from keras_resnet.export.quiet import quiet


class _QuietImport(importlib.abc.MetaPathFinder):
    """Finds one module as Python does, and holds back what C++ writes to stderr while it loads."""

    def __init__(self, name):
        self._name = name

    def find_spec(self, name, path=None, target=None):
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module):
                # Python's own messages, such as that of an interrupt, still reach the terminal.
                former = sys.stderr
                with os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8") as terminal:
                    sys.stderr = terminal
                    try:
                        with quiet():
                            load(module)
                    finally:
                        sys.stderr = former

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec


def import_tensorflow_quietly() -> None:
    """Makes the first import of TensorFlow in this process quiet. An import that fails shows everything."""
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietImport("tensorflow"))
