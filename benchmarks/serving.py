"""ResNet-50 at inference: our exports beside keras.applications' own export, onnxruntime and OpenVINO, with parity.

    python benchmarks/serving.py [REPEATS] [EXAMPLES]

All sides run in turn, in one process, on as many threads as this process has cores; medians of REPEATS. Weights are
those of the seeded fixtures, whose normalization statistics are those of a trained network in kind. OpenVINO is left
out where it is not installed (`pip install openvino`). Agreement is over EXAMPLES parts of photographs for int8, whose
ranges are chosen by 100 others, and over 32 of them for the rest. TensorFlow runs with the settings of the serving kit.
"""

import io
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
from dataclasses import replace

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_ONEDNN_ASSUME_FROZEN_WEIGHTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from safetensors.numpy import save_file

from keras_resnet import from_weights
from keras_resnet.classification.signatures import ClassifierExport
from keras_resnet.config import Export
from keras_resnet.data.example_images import Photographs
from keras_resnet.data.photographs import cut_squares
from keras_resnet.export.graph import answers, fold, frozen_network, plain_network
from keras_resnet.export.litert import write_litert
from keras_resnet.export.onnx import write_int8_onnx, write_onnx
from keras_resnet.export.saved_model import write_saved_model, write_single
from keras_resnet.processor import describe

GOLDEN = pathlib.Path(__file__).parents[1] / "tests" / "golden"
SHAPE = (224, 224, 3)
FEW = 32  # images, where one answer tells as much as a thousand
FIXTURE = "torchvision_resnet50"


def network(folder):
    sys.path.insert(0, str(GOLDEN))
    import seeded

    listing = json.loads((GOLDEN / f"{FIXTURE}.json").read_text())
    save_file({n: np.asarray(seeded.tensor(n, s, d)) for n, s, d in listing}, f"{folder}/weights.safetensors")
    golden = np.load(GOLDEN / f"{FIXTURE}.npz")
    return from_weights(
        f"{folder}/weights.safetensors", 255 * golden["mean"], 255 * golden["std"], classifier_activation=None
    )


def of_saved_model(path):
    loaded = tf.saved_model.load(path)
    return lambda images: loaded.signatures["predict_images"](images=tf.constant(images))["logits"].numpy()


def of_litert(path):
    runner = Interpreter(path, num_threads=os.cpu_count()).get_signature_runner("predict_images")
    return lambda images: runner(images=images)["logits"].copy()


def of_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def of_openvino(path, precision):
    import openvino as ov

    core = ov.Core()
    hint = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": os.cpu_count(),
    }
    compiled = core.compile_model(core.read_model(path), "CPU", hint)
    return lambda images: compiled([images])[compiled.output("logits")].copy()


def keras_applications(folder):
    """What keras.applications users export: `model.export` of ResNet50, whose weights do not change the time."""
    model = keras.applications.ResNet50(weights=None, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights([np.full(shape, v) for v in (0.75, 0.01, 0.02, 1.1)])
    model.export(f"{folder}/applications", verbose=False)
    return _first(f"{folder}/applications")


def _first(path):
    """A SavedModel of one input and one output, whatever they are called."""
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["serving_default"]
    (key,) = signature.structured_input_signature[1]
    return lambda images: next(iter(signature(**{key: tf.constant(images)}).values())).numpy()


def sides(folder, what, model):
    parts = answers(model)
    network = what.signatures(frozen_network(plain_network(fold(parts)), SHAPE), False)["network"]
    frozen, (spec,) = network
    for precision in ("float32", "bfloat16"):
        signatures = what.signatures(plain_network(fold(parts, precision)), False)
        write_saved_model(signatures, f"{folder}/{precision}", what.description)
    write_saved_model(what.signatures(plain_network(parts), False), f"{folder}/none", what.description)
    write_single(frozen, spec, f"{folder}/single")
    calibration = squares_of_photographs(100, seed=1)
    for precision in ("float32", "int8"):
        write_litert(f"{folder}/single", f"{folder}/{precision}.tflite", what.description, precision, calibration)
    write_onnx(frozen, spec, f"{folder}/model.onnx", what.description)
    found = {
        "keras.applications, model.export": keras_applications(folder),
        "SavedModel, --optimize=none": of_saved_model(f"{folder}/none"),
        "SavedModel": of_saved_model(f"{folder}/float32"),
        "SavedModel, bfloat16": of_saved_model(f"{folder}/bfloat16"),
        "onnxruntime float32": of_onnx(f"{folder}/model.onnx"),
        "LiteRT float32": of_litert(f"{folder}/float32.tflite"),
        "LiteRT int8": of_litert(f"{folder}/int8.tflite"),
    }
    write_int8_onnx(f"{folder}/model.onnx", f"{folder}/int8.onnx", calibration)
    found["onnxruntime int8"] = of_onnx(f"{folder}/int8.onnx")
    try:
        found["OpenVINO float32"] = of_openvino(f"{folder}/model.onnx", "f32")
        found["OpenVINO bfloat16"] = of_openvino(f"{folder}/model.onnx", "bf16")
        found["OpenVINO int8"] = of_openvino(f"{folder}/int8.onnx", "f32")
    except (ImportError, RuntimeError) as error:
        print(f"without OpenVINO: {error}")
    return found


def squares_of_photographs(count, seed):
    """`count` squares of scikit-learn's two photographs, (count, 224, 224, 3) float32 in [0, 255]."""
    squares = [Image.fromarray(each).resize(SHAPE[:2]) for each in cut_squares(count, seed)]
    return np.stack([np.asarray(each, np.float32) for each in squares])


def interleaved(functions, argument, repeats):
    """Seconds of each function, called in turn."""
    times = {name: [] for name in functions}
    for function in functions.values():
        function(argument)
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            function(argument)
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in times.items()}


def bytes_signature(folder, repeats):
    """(seconds of serving_default), (of predict_images), (of bare decoding) for one JPEG and for eight."""
    loaded = tf.saved_model.load(f"{folder}/float32")
    from sklearn.datasets import load_sample_image

    stream = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).resize((500, 375)).save(stream, "JPEG", quality=90)
    content = stream.getvalue()
    for batch in (1, 8):
        contents = tf.constant([content] * batch)
        images = tf.random.uniform((batch, *SHAPE), 0, 255)
        times = interleaved(
            {
                "bytes": lambda _, c=contents: loaded.signatures["serving_default"](image_bytes=c)["scores"].numpy(),
                "tensor": lambda _, i=images: loaded.signatures["predict_images"](images=i)["logits"].numpy(),
                "decoding": lambda _, n=batch: [tf.io.decode_jpeg(content, 3).numpy() for _ in range(n)],
            },
            None,
            repeats,
        )
        over = times["bytes"] / (times["tensor"] + times["decoding"]) - 1
        print(
            f"batch {batch}: " + ", ".join(f"{name} {1000 * s:.1f} ms" for name, s in times.items()) + f"; {over:+.0%}"
        )


def main(repeats=9, examples=64):
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        model = network(folder)
        labels = tuple(map(str, range(1000)))
        description = model.description = replace(model.description, labels=labels)
        what = ClassifierExport(description, Export(), Photographs(description.preprocessing, ""))
        functions = sides(folder, what, model)
        images = squares_of_photographs(examples, seed=0)
        expected = model.predict(images, batch_size=8, verbose=0)
        times = {batch: interleaved(functions, images[:batch], repeats) for batch in (1, 8)}
        print("| | batch 1, ms | batch 8, images/s | logits differ by | same class |\n|---|---|---|---|---|")
        for name, function in functions.items():
            count = examples if "int8" in name else min(examples, FEW)
            actual = np.concatenate([function(images[i : i + 8]) for i in range(0, count, 8)])
            parity = f"{np.abs(actual - expected[:count]).max() / np.abs(expected[:count]).max():.0e}"
            parity += f" | {np.mean(actual.argmax(1) == expected[:count].argmax(1)):.1%} of {count}"
            parity = "other weights |" if name.startswith("keras.applications") else parity
            print(f"| {name} | {1000 * times[1][name]:.1f} | {8 / times[8][name]:.1f} | {parity} |")
        bytes_signature(folder, repeats)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
