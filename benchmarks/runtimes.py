"""One network's answers through every artifact and every runtime that is installed here, beside the Keras model's.

    python benchmarks/runtimes.py WEIGHTS EXPORT IMAGES [COUNT]

WEIGHTS is what EXPORT was made from, with --formats=saved_model,litert,onnx --precision=float32,int8, and
IMAGES a folder of pictures. Printed are the largest difference of a logit over the largest logit, and how often the
best class is the same. OpenVINO and OpenCV are left out where they are not installed.
"""

import ctypes
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_resnet import from_weights
from keras_resnet.commands.models import open_model
from keras_resnet.export import memory
from keras_resnet.inference.images import decoded, find_images, prepared, read_image

BATCH = 8


def through_c(path):
    """logits of the signature predict_images, by TensorFlow's C library, as TF Serving runs it."""
    content = (pathlib.Path(path) / "saved_model.pb").read_bytes()
    signature = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].signature_def["predict_images"]
    folder = pathlib.Path(tf.__file__).parent
    library = memory._Library([str(folder / name) for name in memory._LIBRARIES])
    model = memory._Model(library, str(path))
    taken, given = model._output(signature.inputs["images"].name), model._output(signature.outputs["logits"].name)
    classes = signature.outputs["logits"].tensor_shape.dim[1].size

    def logits(images):
        images = np.ascontiguousarray(images, np.float32)
        shape = (ctypes.c_int64 * 4)(*images.shape)
        tensor = library.call(
            "TF_AllocateTensor",
            *(ctypes.c_int(1), shape, ctypes.c_int(4), ctypes.c_size_t(images.nbytes)),
            pointer=True,
        )
        ctypes.memmove(library.call("TF_TensorData", tensor, pointer=True).value, images.ctypes.data, images.nbytes)
        answers = (ctypes.c_void_p * 1)()
        library.call(
            "TF_SessionRun",
            *(model._session, None, (memory._Output * 1)(taken), (ctypes.c_void_p * 1)(tensor.value), ctypes.c_int(1)),
            *((memory._Output * 1)(given), answers, ctypes.c_int(1), None, ctypes.c_int(0), None),
            checked=True,
        )
        place = library.call("TF_TensorData", ctypes.c_void_p(answers[0]), pointer=True).value
        floats = (ctypes.c_float * (len(images) * classes)).from_address(place)
        return np.array(floats, np.float32).reshape(len(images), classes)

    return logits


def through_openvino(path):
    import openvino as ov

    compiled = ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled([images])[0 if str(path).endswith("tflite") else compiled.output("logits")].copy()


def through_opencv(path):
    import cv2

    network = cv2.dnn.readNetFromONNX(str(path))

    def logits(images):
        answers = []
        for image in images:
            network.setInput(image[None])
            answers.append(network.forward("logits"))
        return np.concatenate(answers)

    return logits


def through_ours(path):
    return open_model(str(path)).logits


def main(weights, export, images, count=200):
    export = pathlib.Path(export)
    version = max((path for path in export.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    model = from_weights(weights, classifier_activation=None)
    preprocessing = open_model(str(version)).preprocessing
    size = preprocessing.image_size
    pictures = [decoded(read_image(path), 3) for path in find_images([images])[: int(count)]]
    pictures = np.stack([prepared(pixels, preprocessing, size) for pixels in pictures])
    expected = model.predict(pictures, batch_size=BATCH, verbose=0)
    print(f"{len(pictures)} images\n\n| | logits differ by | same class |\n|---|---|---|")

    def row(name, make, path):
        try:
            logits = make(path)
            actual = np.concatenate([logits(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)])
        except ImportError as error:
            print(f"| {name} | skipped: {error} | |")
            return
        reference = expected
        if name.endswith("batch1"):  # whose answers are scores
            name += " (scores)"
            reference, actual = (np.asarray(keras.ops.softmax(values)) for values in (expected, actual))
        error = np.abs(actual - reference).max() / np.abs(reference).max()
        print(f"| {name} | {error:.1e} | {np.mean(actual.argmax(1) == expected.argmax(1)):.1%} |", flush=True)

    number = version.name
    row("TensorFlow, SavedModel", through_ours, version)
    row("TensorFlow's C API, SavedModel", through_c, version)
    for ending in ("", "-batch1", "-int8", "-int8-batch1"):
        row(f"LiteRT, {number}{ending}", through_ours, export / "litert" / f"{number}{ending}.tflite")
    for ending in ("", "-int8"):
        row(f"onnxruntime, {number}{ending}", through_ours, export / "onnx" / f"{number}{ending}.onnx")
        row(f"OpenVINO, ONNX {number}{ending}", through_openvino, export / "onnx" / f"{number}{ending}.onnx")
    row("OpenVINO, LiteRT", through_openvino, export / "litert" / f"{number}.tflite")
    row("OpenCV, ONNX", through_opencv, export / "onnx" / f"{number}.onnx")


if __name__ == "__main__":
    main(*sys.argv[1:])
