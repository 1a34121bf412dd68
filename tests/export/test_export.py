"""Tests export.py from the command line, and its artifacts in other programs."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from conftest import ROOT, in_process, run

from keras_resnet.export.publishing import next_version

OTHERS = """
import sys
sys.modules["keras_resnet"] = sys.modules["keras"] = None
import json, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](image_bytes=tf.constant([open(p, "rb").read() for p in sys.argv[2:]]))
images = model.signatures["predict_images"](images=tf.zeros((3, 8, 8, 1)))
print(json.dumps({
    "signatures": sorted(model.signatures),
    "answer": {k: v.numpy().tolist() if v.dtype != tf.string else np.vectorize(bytes.decode)(v.numpy()).tolist()
               for k, v in answer.items()},
    "images": {k: list(v.shape) for k, v in images.items()},
}))
"""


@pytest.fixture(scope="module")
def exported(finished_export):
    """Returns (folder of an export in every format, output of export.py)."""
    return finished_export, (finished_export.parent / "printed.txt").read_text()


@pytest.fixture(scope="module")
def report(exported):
    return json.loads((exported[0] / "1" / "export_report.json").read_text())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Returns three images: a digit as PNG, a large color JPEG, a wide PNG."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.RandomState(0)
    digit = random.randint(0, 256, (8, 8, 1)).astype(np.uint8)
    (folder / "digit.png").write_bytes(tf.io.encode_png(digit).numpy())
    (folder / "large.jpg").write_bytes(
        tf.io.encode_jpeg(random.randint(0, 256, (300, 200, 3)).astype(np.uint8)).numpy()
    )
    (folder / "wide.png").write_bytes(tf.io.encode_png(random.randint(0, 256, (5, 90, 3)).astype(np.uint8)).numpy())
    return [str(folder / name) for name in ("digit.png", "large.jpg", "wide.png")]


def visible(folder):
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def litert_files(*precisions):
    return sorted(f"1{precision}{batch}.tflite" for precision in precisions for batch in ("", "-batch1"))


def test_export_writes_every_artifact_and_no_leftovers(exported):
    output, printed = exported
    assert visible(output) == ["1", "litert", "onnx"]
    assert visible(output / "litert") == litert_files("-int8", "")
    assert visible(output / "onnx") == ["1-int8.onnx", "1.onnx"]
    assert [name for name in os.listdir(output) if name.startswith((".tmp", ".claim"))] == []
    assert "as version 1" in printed
    assert str(output) in (output.parent / "kit" / "docker-compose.yml").read_text()
    digits = list("0123456789")
    assert (output / "1" / "assets.extra" / "labels.txt").read_text().split() == digits
    for name in visible(output / "litert"):
        assert zipfile.ZipFile(output / "litert" / name).read("labels.txt").decode().split() == digits


def test_report_has_run_and_errors_of_every_artifact(exported, report):
    assert (report["preprocessing"]["image_size"], report["preprocessing"]["crop_pct"]) == (8, 1.0)
    assert (report["version"], report["network"], report["data"], report["checkpoint"]) == (
        1, "cifar_resnet20", "digits", "best",
    )  # fmt: skip
    found = {(each["format"], each["precision"]): each for each in report["artifacts"] if "batch" not in each}
    assert len(found) == 5
    batch1 = {each["precision"]: each for each in report["artifacts"] if "batch" in each}
    assert set(batch1) == {"float32", "int8"}
    assert all(each["parity"]["max_abs_error"] <= 1e-4 for each in batch1.values())  # of the other file's scores
    assert found["saved_model", "float32"]["parity"]["relative_error"] <= 1e-5
    assert found["litert", "float32"]["parity"]["relative_error"] <= 1e-4
    assert found["onnx", "float32"]["parity"]["relative_error"] <= 1e-4
    for format_ in ("litert", "onnx"):
        assert found[format_, "int8"]["bytes"] < 0.4 * found[format_, "float32"]["bytes"]
    for artifact in report["artifacts"]:
        assert artifact["holds"]
        assert artifact["parity"]["real_images"] > (10 if "batch" in artifact else 100)
        assert artifact["latency_ms"]["1"] > 0
        for name, digits in artifact["sha256"].items():
            path = artifact["path"] if os.path.isfile(artifact["path"]) else os.path.join(artifact["path"], name)
            with open(path, "rb") as file:
                assert hashlib.file_digest(file, "sha256").hexdigest() == digits


@pytest.mark.slow
def test_litert_of_half_and_dynamic_precision_hold(finished_run, tmp_path):
    flags = ("--formats=saved_model,litert", "--precision=float32,float16,dynamic")
    process = run("export.py", f"--workdir={finished_run}", f"--output={tmp_path / 'out'}", *flags)
    assert process.returncode == 0, process.stderr
    assert visible(tmp_path / "out" / "litert") == litert_files("-dynamic", "-float16", "")
    report = json.loads((tmp_path / "out" / "1" / "export_report.json").read_text())
    found = {each["precision"]: each for each in report["artifacts"] if each["format"] == "litert"}
    assert found["float16"]["parity"]["top1_agreement"] >= 0.99
    assert found["dynamic"]["bytes"] < 0.4 * found["float32"]["bytes"]
    assert all(each["holds"] for each in report["artifacts"])


def test_saved_model_graph_has_no_batch_normalization(report):
    """20 layers have weights: 19 convolutions and the classifier. No normalization is left."""
    operators = report["artifacts"][0]["operators"]
    assert operators["Conv2D"] == 19
    assert operators["ReadVariableOp"] == 2 * 20  # kernels and biases
    assert not {"FusedBatchNormV3", "Rsqrt"} & set(operators)


def test_memory_is_in_report_output_and_compose_limit(exported, report):
    memory = report["memory"]
    assert 0 < memory["before"] < memory["loaded"] <= memory["warmed_up"] <= memory["peak"] <= memory["swapping_peak"]
    one, two = (f"{memory[name] / 1e9:.2f} GB" for name in ("peak", "swapping_peak"))
    assert f"memory: a server takes {one} for one version, {two} while two are swapped" in exported[1]
    compose = (exported[0].parent / "kit" / "docker-compose.yml").read_text()
    limit = int(re.search(r'mem_limit: "(\d+)m"', compose)[1]) << 20
    assert 1.5 * memory["swapping_peak"] <= limit < 1.5 * memory["swapping_peak"] + (256 << 20)


def test_onnx_runs_and_has_labels(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported[0] / "onnx" / "1.onnx"))
    assert [value.shape for value in session.get_inputs()] == [["N", 8, 8, 1]]
    assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == list("0123456789")
    logits, scores = session.run(["logits", "scores"], {"images": np.zeros((3, 8, 8, 1), np.float32)})
    assert logits.shape == (3, 10)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)


def test_int8_onnx_has_labels_and_integer_weights(exported):
    import onnx

    model = onnx.load(str(exported[0] / "onnx" / "1-int8.onnx"))
    assert json.loads({each.key: each.value for each in model.metadata_props}["labels"]) == list("0123456789")
    names = [node.op_type for node in model.graph.node]
    assert names.count("Conv") == 19
    whole = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.INT8 and len(w.dims) == 4]
    assert len(whole) == 19
    assert not any(w.data_type == onnx.TensorProto.FLOAT and len(w.dims) == 4 for w in model.graph.initializer)


def test_warmup_requests_cover_every_signature_and_batch_size(exported, report):
    """TF Serving's protos read them: `predict_log`, the signature's name, and constant tensors of a few bytes."""
    from collections import Counter

    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = exported[0] / "1" / "assets.extra" / "tf_serving_warmup_requests"
    requests = [PredictionLog.FromString(r.numpy()).predict_log.request for r in tf.data.TFRecordDataset(str(path))]
    names = Counter(request.model_spec.signature_name for request in requests)
    assert names == dict.fromkeys(("features", "predict_images", "predict_images_uint8", "serving_default"), 4)
    sizes = {tf.make_ndarray(value).shape[0] for request in requests for value in request.inputs.values()}
    assert sizes == {1, 2, 4, 8}
    assert path.stat().st_size < 20_000
    assert report["warmup"]["requests"] == len(requests)


@pytest.mark.slow
def test_network_signature_converts_with_xla_litert_and_tf2onnx(exported, tmp_path):
    """XLA, LiteRT's converter and tf2onnx read the published SavedModel, at a batch size that the caller chooses."""
    import onnxruntime
    import tensorflow as tf

    path = str(exported[0] / "1")
    loaded = tf.saved_model.load(path)  # keeps the variables alive
    network = loaded.signatures["network"]
    images = np.random.RandomState(0).uniform(0, 255, (3, 8, 8, 1)).astype(np.float32)
    expected = network(images=tf.constant(images))["logits"].numpy()

    compiled = tf.function(lambda x: network(images=x)["logits"], jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(images)), expected, rtol=1e-4, atol=1e-4)

    converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=["network"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    lite = tf.lite.Interpreter(model_content=converter.convert()).get_signature_runner("network")
    np.testing.assert_allclose(lite(images=images)["logits"], expected, rtol=1e-4, atol=1e-4)

    target = tmp_path / "network.onnx"
    command = [sys.executable, "-m", "tf2onnx.convert", "--opset=17", "--signature_def=network"]
    command += [f"--saved-model={path}", f"--output={target}"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    session = onnxruntime.InferenceSession(str(target))
    np.testing.assert_allclose(session.run(["logits"], {"images": images})[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_saved_model_answers_in_a_process_without_this_package(exported, pictures, tmp_path):
    script = tmp_path / "others.py"
    script.write_text(OTHERS)
    process = subprocess.run(
        [sys.executable, "-I", str(script), str(exported[0] / "1"), *pictures],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    reply = json.loads(process.stdout)
    names = ["features", "network", "predict_images", "predict_images_uint8", "serving_default"]
    assert reply["signatures"] == names
    assert reply["images"] == {"logits": [3, 10], "scores": [3, 10]}
    answer = reply["answer"]
    assert np.shape(answer["classes"]) == np.shape(answer["labels"]) == np.shape(answer["scores"]) == (3, 3)
    assert answer["status"] == ["OK"] * 3
    for classes, labels, scores in zip(answer["classes"], answer["labels"], answer["scores"], strict=True):
        assert labels == [str(each) for each in classes]
        assert scores == sorted(scores, reverse=True)


def test_image_bytes_and_pixels_give_the_same_scores(exported, pictures):
    """The bytes of a digit get the same scores as its pixels."""
    import tensorflow as tf

    model = tf.saved_model.load(str(exported[0] / "1"))
    with open(pictures[0], "rb") as file:
        content = file.read()
    pixels = tf.cast(tf.io.decode_png(content), tf.float32)[None]
    scores = model.signatures["predict_images"](images=pixels)["scores"].numpy()[0]
    answer = model.signatures["serving_default"](image_bytes=tf.constant([content]))
    np.testing.assert_allclose(answer["scores"].numpy()[0], np.sort(scores)[::-1][:3], rtol=1e-5)
    np.testing.assert_array_equal(answer["classes"].numpy()[0], np.argsort(-scores)[:3])


def test_litert_has_only_builtin_operators_and_accepts_batches(exported):
    from ai_edge_litert.interpreter import Interpreter

    path = str(exported[0] / "litert" / "1.tflite")
    interpreter = Interpreter(path)
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert not [name for name in names if name.startswith("Flex") or name == "CUSTOM"]
    # Normalization is folded into the convolutions: the only multiplication left is that of preprocessing.
    kinds = [operator["op_name"] for operator in interpreter._get_ops_details()]
    assert kinds.count("CONV_2D") == 19
    assert kinds.count("MUL") <= 1
    for batch in (1, 5):
        logits = interpreter.get_signature_runner("predict_images")(images=np.zeros((batch, 8, 8, 1), np.float32))
        assert logits["logits"].shape == (batch, 10)


@pytest.mark.slow
def test_concurrent_exports_get_new_versions(finished_run, exported, tmp_path):
    """Two exporters that run at the same time get different versions."""
    output = tmp_path / "out"
    results = []

    def export():
        results.append(run("export.py", f"--workdir={finished_run}", f"--output={output}", "--checkpoint=last"))

    threads = [threading.Thread(target=export) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.returncode for process in results] == [0, 0], [process.stderr for process in results]
    assert visible(output) == ["1", "2", "litert"]
    assert visible(output / "litert") == [
        f"{version}{ending}.tflite" for version in (1, 2) for ending in ("-batch1", "")
    ]
    assert next_version(str(output)) == 3


@pytest.mark.slow
def test_export_of_an_unfinished_run_warns(finished_run, tmp_path):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    (folder / "results.json").unlink()
    process = run("export.py", f"--workdir={folder}", f"--output={tmp_path / 'out'}", "--checkpoint=2")
    assert process.returncode == 0, process.stderr
    assert "WARNING: the run is not finished; exporting step 2 of 4" in process.stdout
    assert json.loads((tmp_path / "out" / "1" / "export_report.json").read_text())["step"] == 2


@pytest.mark.slow
def test_export_of_a_differing_artifact_publishes_nothing(finished_run, tmp_path):
    """With a tolerance that nothing meets, export.py fails and publishes no version."""
    code = (
        "from dataclasses import replace; from keras_resnet.export.formats import EXPORT_FORMATS as rows;"
        "rows['litert'] = replace(rows['litert'], tolerance=-1.0);"
        "import runpy, sys; sys.argv = ['export.py'] + sys.argv[1:]; runpy.run_path('export.py', run_name='__main__')"
    )
    process = run("-c", code, f"--workdir={finished_run}", f"--output={tmp_path / 'out'}")
    assert process.returncode == 1
    assert "not published, an artifact differs from the network: litert float32" in process.stderr.splitlines()[-1]
    assert visible(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output=/tmp/never"], "--workdir is missing"),
        (["--workdir=RUN"], "--output is missing"),
        (["--workdir=docs", "--output=/tmp/never"], "--workdir=docs: contains no run (there is no config.yaml)"),
        (["--workdir=RUN", "--output=OUT", "--checkpoint=newest"], '--checkpoint=newest: expected "best", "last"'),
        (["--workdir=RUN", "--output=OUT", "--checkpoint=3"], "--checkpoint=3: "),
        (["--workdir=RUN", "--output=/dev/null/x"], "--output=/dev/null/x: cannot be written"),
        (["--workdir=RUN", "--output=gs://bucket/x"], "--output=gs://bucket/x: expected a folder on a disk"),
        (["--workdir=RUN", "--weights=x", "--output=OUT"], "--workdir, --weights: export one of them"),
        (["--weights=nothing", "--output=OUT"], "--weights=nothing: 'nothing' is neither a file nor a name of"),
        (["--workdir=RUN", "--output=OUT", "--set=train.seed=1"], "only keys of the group export can be changed here"),
        (["--workdir=RUN", "--output=OUT", "--set=export.top_k=11"], "export.top_k: 11 is more than the 10 classes"),
        (["--workdir=RUN", "--output=OUT", "--formats=tflite"], 'unknown format "tflite"'),
    ],
)
def test_export_with_wrong_flags_exits_with_code_2(finished_run, tmp_path, flags, message):
    flags = [flag.replace("RUN", str(finished_run)).replace("OUT", str(tmp_path / "out")) for flag in flags]
    process = in_process("export.py", *flags)
    assert process.returncode == 2, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert not os.path.exists("/tmp/never")
    assert not (ROOT / "litert").exists()
