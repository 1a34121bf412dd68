"""Measures a server's memory for a SavedModel: loaded, warmed up, and while a second version replaces it.

As a script, it loads TensorFlow's C library, as servers do, and neither this package nor TensorFlow's Python.
"""

import ctypes
import importlib.util
import json
import os
import subprocess
import sys

_LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
_NOT_CALLED = {"network"}  # clients do not call it; converters read it


def measure_memory(
    path: str, image_shape: tuple[int, int, int], batch_sizes: tuple[int, ...]
) -> dict[str, int | str] | None:
    """Loads a SavedModel through the C API in a separate process and calls its signatures at each batch size.

    Args:
        path: the SavedModel.
        image_shape: (H, W, C) of the images in the calls.
        batch_sizes: batch sizes of the calls, as in its warm-up requests.

    Returns:
        Bytes that the process holds: "before" (the library alone), "loaded", "warmed_up", "peak" until then, and
        "swapping_peak" until a second copy is loaded and warmed up next to the first. None if the system does not
        report it or TensorFlow comes without the library (macOS, Windows).

    Raises:
        RuntimeError: a call fails.
    """
    from keras_resnet.processor import SERVING  # imported here: the child has no such package

    found = importlib.util.find_spec("tensorflow")
    folder = os.path.dirname(found.origin) if found and found.origin else ""
    libraries = [os.path.join(folder, name) for name in _LIBRARIES]
    if not all(map(os.path.isfile, libraries)) or not os.path.isfile("/proc/self/status"):
        return None
    job = {
        "libraries": libraries,
        "path": path,
        "signatures": _signatures(path, image_shape),
        "batch_sizes": batch_sizes,
    }
    child = subprocess.run(
        [sys.executable, "-I", os.path.abspath(__file__), json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
        env=SERVING | os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    if child.returncode:
        raise RuntimeError(f"the process that measures memory ended with {child.returncode}:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def _signatures(path, image_shape):
    """Returns [{"inputs": [(tensor, dtype, row shape, bytes per value or hex string)], "outputs": [tensor]}, ...]."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    with open(os.path.join(path, "saved_model.pb"), "rb") as file:
        graph = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0]
    pixels = tf.fill((*image_shape[:2], min(image_shape[2], 3)), tf.constant(128, tf.uint8))
    encoded = tf.io.encode_png(pixels).numpy()
    found = []
    for name, signature in sorted(graph.signature_def.items()):
        if name in _NOT_CALLED or name.startswith("__"):
            continue
        inputs = []
        for info in signature.inputs.values():
            dtype = tf.dtypes.as_dtype(info.dtype)
            shape = () if dtype == tf.string else image_shape
            content = encoded.hex() if dtype == tf.string else dtype.size
            inputs.append((info.name, info.dtype, shape, content))
        found.append({"inputs": inputs, "outputs": [info.name for info in signature.outputs.values()]})
    return found


class _Output(ctypes.Structure):
    """The struct TF_Output of the C API."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


_STRING_BYTES = 24  # of a TF_TString


class _Library:
    """The part of TensorFlow's C API that loads a SavedModel and runs it."""

    def __init__(self, paths):
        self._loaded = [ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in paths]
        self._status = self.call("TF_NewStatus", pointer=True)

    def call(self, name, *arguments, pointer=False, checked=False):
        """Calls a function of the library; `checked` adds the status as last argument and exits on an error."""
        library = next(each for each in self._loaded if hasattr(each, name))
        function = getattr(library, name)
        function.restype = ctypes.c_void_p if pointer else None
        result = function(*arguments, *([self._status] if checked else []))
        if checked and self._code():
            sys.exit(self._message())
        return ctypes.c_void_p(result) if pointer else None

    def _code(self):
        function = self._loaded[0].TF_GetCode
        return function(self._status)

    def _message(self):
        function = self._loaded[0].TF_Message
        function.restype = ctypes.c_char_p
        return function(self._status).decode(errors="replace")


class _Model:
    """A SavedModel in a session, as TF Serving holds it."""

    def __init__(self, library, path):
        self._library = library
        self._graph = library.call("TF_NewGraph", pointer=True)
        options = library.call("TF_NewSessionOptions", pointer=True)
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = library.call(
            "TF_LoadSessionFromSavedModel",
            *(options, None, path.encode(), tags, ctypes.c_int(1), self._graph, None),
            pointer=True,
            checked=True,
        )

    def run(self, signature, rows):
        """Calls a signature with `rows` rows and discards its outputs."""
        inputs = [self._output(name) for name, *_ in signature["inputs"]]
        outputs = [self._output(name) for name in signature["outputs"]]
        tensors = [self._tensor(rows, *each[1:]) for each in signature["inputs"]]
        answers = (ctypes.c_void_p * len(outputs))()
        self._library.call(
            "TF_SessionRun",
            *(self._session, None),
            *((_Output * len(inputs))(*inputs), (ctypes.c_void_p * len(tensors))(*tensors), ctypes.c_int(len(inputs))),
            *((_Output * len(outputs))(*outputs), answers, ctypes.c_int(len(outputs))),
            *(None, ctypes.c_int(0), None),
            checked=True,
        )
        for tensor in (*tensors, *answers):
            self._library.call("TF_DeleteTensor", ctypes.c_void_p(tensor))

    def _output(self, name):
        operation, _, index = name.partition(":")
        found = self._library.call("TF_GraphOperationByName", self._graph, operation.encode(), pointer=True)
        return _Output(found, int(index))

    def _tensor(self, rows, dtype, shape, content):
        """Returns a tensor of images whose bytes are all 64, or of `rows` encoded images."""
        shape = (rows, *shape)
        count = 1
        for side in shape:
            count *= side
        encoded = bytes.fromhex(content) if isinstance(content, str) else b""
        size = count * (_STRING_BYTES if encoded else content)
        dimensions = (ctypes.c_int64 * len(shape))(*shape)
        tensor = self._library.call(
            "TF_AllocateTensor",
            *(ctypes.c_int(dtype), dimensions, ctypes.c_int(len(shape)), ctypes.c_size_t(size)),
            pointer=True,
        )
        data = self._library.call("TF_TensorData", tensor, pointer=True).value
        if not encoded:
            ctypes.memset(data, 64, size)
        for i in range(rows if encoded else 0):
            place = ctypes.c_void_p(data + _STRING_BYTES * i)
            self._library.call("TF_StringInit", place)
            self._library.call("TF_StringCopy", place, encoded, ctypes.c_size_t(len(encoded)))
        return tensor.value


def _held():
    """Returns (bytes of memory that this process holds now, the most that it has held)."""
    values = {}
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                values[name] = 1024 * int(value.split()[0])
    return values["VmRSS"], values["VmHWM"]


def main(job):
    """Prints the results as JSON."""
    library = _Library(job["libraries"])
    found = {"before": _held()[0]}
    models = []
    for step in ("", "swapping_"):
        models.append(_Model(library, job["path"]))
        if not step:
            found["loaded"] = _held()[0]
        for signature in job["signatures"]:
            for rows in job["batch_sizes"]:
                models[-1].run(signature, rows)
        held, peak = _held()
        if not step:
            found["warmed_up"] = held
        found[f"{step}peak"] = peak
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
