"""Reads Detectron2's .pkl files, which can run code, in a child process that creates arrays and nothing else.

    python -m keras_resnet.weights.pickle_files SOURCE TARGET.safetensors

Only `convert-weights` and the names of published weights lead here.
"""

import pickle
import sys

import numpy as np

from keras_resnet.errors import one_line
from keras_resnet.weights.torch_files import check_declared, read_in_child, run_child

# What arrays are made of, by the names that NumPy 1 and 2 give it. Nothing else is looked up.
_ALLOWED = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"holds {module}.{name}, which could run code and is not loaded")
        return super().find_class(module, name)


def read_pickle_file(path: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a .pkl file in a child process.

    Raises:
        ValueError: the file is damaged, or contains objects that are not arrays, dictionaries, texts or numbers.
    """
    return read_in_child(path, __name__)


def main(source: str, target: str) -> None:
    """Writes the arrays of `source` to `target`, in the child process; exits with a one-line reason on failure."""
    from safetensors.numpy import save_file

    try:
        with open(source, "rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except Exception as error:
        sys.exit(one_line(error) or "is damaged")
    tensors = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        sys.exit("holds no tensors by name")
    arrays = {name: each for name, each in tensors.items() if isinstance(each, np.ndarray) and each.dtype.kind in "fiu"}
    if not arrays:
        sys.exit("holds no tensors by name")
    check_declared(sum(each.nbytes for each in arrays.values()), source)
    save_file({name: np.ascontiguousarray(each) for name, each in arrays.items()}, target)


if __name__ == "__main__":
    run_child(main)
