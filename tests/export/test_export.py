"""export.py as a user runs it, and what others see of its artifacts."""

import json
import os
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from conftest import ROOT, run

from keras_resnet.export.export import next_version, publish
from keras_resnet.export.verify import LITERT, SAVED_MODEL

OTHERS = """
import sys
sys.modules["keras_resnet"] = sys.modules["keras"] = None
import json, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](image_bytes=tf.constant([open(p, "rb").read() for p in sys.argv[2:]]))
images = model.signatures["predict_images"](images=tf.zeros((3, 8, 8, 1)))
print(json.dumps({
    "signatures": sorted(model.signatures),
    "answer": {k: v.numpy().tolist() if v.dtype != tf.string else [[t.decode() for t in r] for r in v.numpy()]
               for k, v in answer.items()},
    "images": {k: list(v.shape) for k, v in images.items()},
}))
"""


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    """(folder of the export, what export.py printed)."""
    output = tmp_path_factory.mktemp("export") / "digits"
    process = run("export.py", f"--workdir={finished_run}", f"--output={output}")
    assert process.returncode == 0, process.stderr
    return output, process.stdout


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three images: a digit as PNG, a large colour JPEG, a wide PNG."""
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


def test_layout(exported):
    output, printed = exported
    assert sorted(os.listdir(output)) == ["1", "litert"]
    assert os.listdir(output / "litert") == ["1.tflite"]
    assert "as version 1" in printed
    assert (output / "1" / "assets.extra" / "labels.txt").read_text() == "".join(f"{i}\n" for i in range(10))
    assert zipfile.ZipFile(output / "litert" / "1.tflite").read("labels.txt").decode().split() == list("0123456789")


def test_report_holds(exported):
    report = json.loads((exported[0] / "1" / "export_report.json").read_text())
    assert report["parity"]["saved_model"]["relative_error"] <= 1e-5
    assert report["parity"]["litert"]["relative_error"] <= 1e-4
    assert (report["network"], report["data"], report["checkpoint"]) == ("cifar_resnet20", "digits", "best")


def test_a_process_without_our_code_gets_answers(exported, pictures, tmp_path):
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
    assert {"serving_default", "predict_images"} <= set(reply["signatures"])
    assert reply["images"] == {"logits": [3, 10], "scores": [3, 10]}
    answer = reply["answer"]
    assert np.shape(answer["classes"]) == np.shape(answer["labels"]) == np.shape(answer["scores"]) == (3, 3)
    for classes, labels, scores in zip(answer["classes"], answer["labels"], answer["scores"], strict=True):
        assert labels == [str(each) for each in classes]
        assert scores == sorted(scores, reverse=True)


def test_bytes_and_tensor_agree(exported, pictures):
    """No skew: the bytes of a digit score as its pixels do."""
    import tensorflow as tf

    model = tf.saved_model.load(str(exported[0] / "1"))
    with open(pictures[0], "rb") as file:
        content = file.read()
    pixels = tf.cast(tf.io.decode_png(content), tf.float32)[None]
    scores = model.signatures["predict_images"](images=pixels)["scores"].numpy()[0]
    answer = model.signatures["serving_default"](image_bytes=tf.constant([content]))
    np.testing.assert_allclose(answer["scores"].numpy()[0], np.sort(scores)[::-1][:3], rtol=1e-5)
    np.testing.assert_array_equal(answer["classes"].numpy()[0], np.argsort(-scores)[:3])


def test_litert_has_builtin_operators_alone_and_takes_batches(exported):
    from ai_edge_litert.interpreter import Interpreter

    path = str(exported[0] / "litert" / "1.tflite")
    interpreter = Interpreter(path)
    names = {operator["op_name"] for operator in interpreter._get_ops_details()}
    assert not [name for name in names if name.startswith("Flex") or name == "CUSTOM"]
    # Normalization is folded into the convolutions: 20 layers, no multiplication left but preprocessing's.
    kinds = [operator["op_name"] for operator in interpreter._get_ops_details()]
    assert kinds.count("CONV_2D") == 19
    assert kinds.count("MUL") <= 1
    for batch in (1, 5):
        logits = interpreter.get_signature_runner("predict_images")(images=np.zeros((batch, 8, 8, 1), np.float32))
        assert logits["logits"].shape == (batch, 10)


def test_publishers_at_once_get_versions_of_their_own(tmp_path):
    """Twenty of them: every version is whole, none is lost or replaced."""
    (tmp_path / "out" / "litert").mkdir(parents=True)
    (tmp_path / "out" / "litert" / "3.tflite").write_text("left by an exporter that was killed")

    def artifacts(number):
        aside = tmp_path / f"aside{number}"
        (aside / SAVED_MODEL).mkdir(parents=True)
        (aside / SAVED_MODEL / "saved_model.pb").write_text(str(number))
        (aside / LITERT).write_text(str(number))
        publish(str(aside), str(tmp_path / "out"), {})

    threads = [threading.Thread(target=artifacts, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = sorted(int(name) for name in os.listdir(tmp_path / "out") if name != "litert")
    assert versions == list(range(4, 24))
    for version in versions:
        saved = (tmp_path / "out" / str(version) / "saved_model.pb").read_text()
        assert (tmp_path / "out" / "litert" / f"{version}.tflite").read_text() == saved
        assert json.loads((tmp_path / "out" / str(version) / "export_report.json").read_text())["version"] == version


@pytest.mark.slow
def test_versions_grow_and_never_replace(finished_run, exported, tmp_path):
    """Two exporters at once get versions of their own."""
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
    assert sorted(os.listdir(output)) == ["1", "2", "litert"]
    assert sorted(os.listdir(output / "litert")) == ["1.tflite", "2.tflite"]
    assert next_version(str(output)) == 3


@pytest.mark.slow
def test_an_unfinished_run_exports_with_a_warning(finished_run, tmp_path):
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    (folder / "results.json").unlink()
    process = run("export.py", f"--workdir={folder}", f"--output={tmp_path / 'out'}", "--checkpoint=2")
    assert process.returncode == 0, process.stderr
    assert "WARNING: the run is not finished; exporting step 2 of 4" in process.stdout
    assert json.loads((tmp_path / "out" / "1" / "export_report.json").read_text())["step"] == 2


@pytest.mark.slow
def test_an_artifact_that_differs_is_not_published(finished_run, tmp_path):
    """With a tolerance that nothing meets, export.py fails and leaves no version."""
    code = (
        "from keras_resnet.export import verify; verify.TOLERANCES['litert'] = -1.0;"
        "import runpy, sys; sys.argv = ['export.py'] + sys.argv[1:]; runpy.run_path('export.py', run_name='__main__')"
    )
    process = run("-c", code, f"--workdir={finished_run}", f"--output={tmp_path / 'out'}")
    assert process.returncode == 1
    assert "not published, an artifact differs from the model" in process.stderr.splitlines()[-1]
    assert os.listdir(tmp_path / "out") == ["litert"]
    assert os.listdir(tmp_path / "out" / "litert") == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output=/tmp/never"], "--workdir is missing"),
        (["--workdir=RUN"], "--output is missing"),
        (["--workdir=docs", "--output=/tmp/never"], "--workdir=docs: no run lies there (there is no config.yaml)"),
        (["--workdir=RUN", "--output=OUT", "--checkpoint=newest"], '--checkpoint=newest: expected "best", "last"'),
        (["--workdir=RUN", "--output=OUT", "--checkpoint=3"], "--checkpoint=3: "),
        (["--workdir=RUN", "--output=/dev/null/x"], "--output=/dev/null/x: cannot be written"),
    ],
)
def test_mistakes(finished_run, tmp_path, flags, message):
    flags = [flag.replace("RUN", str(finished_run)).replace("OUT", str(tmp_path / "out")) for flag in flags]
    process = run("export.py", *flags)
    assert process.returncode == 2, process.stderr
    assert message in process.stderr.splitlines()[-1]
    assert not os.path.exists("/tmp/never")
    assert not (ROOT / "litert").exists()
