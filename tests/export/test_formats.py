"""The table of export formats: plans of the flags, and a new format that is a row and nothing else."""

import importlib
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from keras_resnet.commands import entry
from keras_resnet.commands.models import open_model
from keras_resnet.description import Preprocessing
from keras_resnet.errors import CheckError, ConfigError
from keras_resnet.export.formats import EXPORT_FORMATS, ExportFormat, Plan, plan
from keras_resnet.export.publishing import next_version
from keras_resnet.inference.images import answer_prepared

ALL = ["saved_model", "litert", "onnx"]


def planned(saved_model=("float32",), **others):
    return {"saved_model": saved_model} | others


def test_plan_gives_each_format_its_supported_precisions():
    assert plan(["litert", "saved_model"], ["float32"]) == Plan(precisions=planned(litert=("float32",)))
    found = plan(ALL, ["int8", "float32", "int8"]).precisions
    assert found == planned(litert=("int8", "float32"), onnx=("int8", "float32"))
    assert list(plan(ALL[::-1], ["float32"]).precisions) == ALL  # the SavedModel is written first
    assert plan(ALL, ["bfloat16", "int8"]).precisions == planned(("bfloat16",), litert=("int8",), onnx=("int8",))
    assert plan(ALL, ["float16"]).precisions == planned(litert=("float16",), onnx=("float32",))
    assert plan(["saved_model"], ["bfloat16"]).precisions == planned(("bfloat16",))
    assert plan(ALL, ["int8"], "fold", "uint8").litert_interface == "uint8"


def test_plan_uses_the_precisions_of_its_formats():
    assert plan(ALL, ["int8"]).uses("int8")
    assert not plan(["saved_model", "litert"], ["float16"]).uses("int8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["saved-model"], ["float32"]), 'unknown format "saved-model"; did you mean "saved_model"?'),
        ((["litert"], ["float32"]), "--formats: saved_model is missing"),
        ((ALL, ["fp16"]), '--precision: unknown precision "fp16"'),
        ((ALL, ["int8"], "fold", "uint"), '--litert_interface="uint"; did you mean "uint8" or "int8"?'),
        ((ALL, ["float32"], "fold", "int8"), "--litert_interface=int8: is of LiteRT's int8; add --precision=int8"),
        ((["saved_model"], ["int8"]), "--precision=int8: is of litert, onnx, which --formats does not name"),
        ((ALL, ["float32", "bfloat16"]), "a SavedModel has one precision, got float32 and bfloat16"),
        ((ALL, ["bfloat16"], "none"), "--optimize=none: leaves the network as it is, got --precision=bfloat16"),
        ((ALL, ["float32"], "folded"), '--optimize="folded"; did you mean "fold"?'),
    ],
)
def test_plan_with_wrong_formats_or_precisions_is_refused(arguments, message):
    with pytest.raises(ConfigError) as error:
        plan(*arguments)
    assert message in str(error.value).replace(": did", "; did")


@pytest.mark.parametrize("name", ALL)
def test_modules_of_a_row_exist(name):
    row = EXPORT_FORMATS[name]
    assert row.name == name
    for place in (row.writer, row.predictor):
        module, member = place.split(":")
        assert callable(getattr(importlib.import_module(module), member))
    assert row.loader_file() == str(ROOT / "keras_resnet" / "export" / "loaders" / f"{name}.py")


def write_dummy(conversion):
    """Writes TensorFlow's graph of the network, with the names of its input and its logits, as an .npz file."""
    spec = tf.TensorSpec([None, *conversion.description.preprocessing.image_shape], tf.float32)
    function = conversion.frozen
    graph = tf.function(lambda images: function(images)["logits"]).get_concrete_function(spec).graph
    path = conversion.path("dummy", "float32")
    np.savez(
        path,
        graph=np.frombuffer(graph.as_graph_def().SerializeToString(), np.uint8),
        tensors=[graph.inputs[0].name, graph.outputs[0].name],
        image_shape=spec.shape[1:],
        labels=conversion.description.labels,
    )
    yield {"format": "dummy", "precision": "float32", "path": path}


LOADER = """
from collections import Counter

import numpy as np
import tensorflow as tf


def load(path):
    with np.load(path) as stored:
        graph = tf.compat.v1.GraphDef.FromString(stored["graph"].tobytes())
        tensors = stored["tensors"].tolist()
    call = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), []).prune(*tensors)
    return lambda images: {"logits": SCALE * call(tf.constant(images)).numpy()}, Counter(node.op for node in graph.node)
"""


class DummyPredictor:
    """A `Predictor` that runs the file as the loader does."""

    kind = "dummy"
    finds_boxes = False
    thresholds = None

    def __init__(self, path, source, threads=None):
        self.source, loader = source, {"SCALE": 1}
        exec(LOADER, loader)
        run, _ = loader["load"](path)
        self.logits = lambda images: run(images)["logits"]
        with np.load(path) as stored:
            self.labels = tuple(stored["labels"].tolist())
            self.image_shape = tuple(stored["image_shape"].tolist())
        self.preprocessing = Preprocessing(image_size=self.image_shape[0], crop_pct=1.0, channels=self.image_shape[2])
        self.max_top_k = len(self.labels)

    def answer(self, contents, top_k):
        return answer_prepared(self, contents, top_k)


@pytest.fixture
def dummy(tmp_path, monkeypatch):
    """Adds the row of a format to the table, whose loader gives the network's logits times `scale`."""

    def add(scale):
        (tmp_path / "dummy_loader.py").write_text(f"SCALE = {scale}\n{LOADER}")
        monkeypatch.syspath_prepend(tmp_path)
        row = ExportFormat(
            name="dummy",
            title="Dummy",
            precisions=("float32",),
            suffix=".npz",
            tolerance=1e-4,
            writer=f"{__name__}:write_dummy",
            loader="dummy_loader",
            predictor=f"{__name__}:DummyPredictor",
        )
        monkeypatch.setitem(EXPORT_FORMATS, "dummy", row)

    return add


def export(run, output):
    return entry.call("export", [f"--workdir={run}", f"--output={output}", "--formats=saved_model,dummy"])


@pytest.mark.slow
def test_new_format_is_one_row(finished_run, dummy, tmp_path, capsys):
    """A row makes a format that is exported, verified, reported, published, opened, and listed by the flag."""
    output = tmp_path / "out"
    dummy(1)
    assert export(finished_run, output) is None
    assert sorted(os.listdir(output / "dummy")) == ["1.npz"]
    assert str(output / "dummy" / "1.npz") in capsys.readouterr().out
    report = json.loads((output / "1" / "export_report.json").read_text())
    artifact = report["artifacts"][1]
    assert (artifact["format"], artifact["path"]) == ("dummy", str(output / "dummy" / "1.npz"))
    assert artifact["holds"]
    assert artifact["tolerance"] == {"relative_error": 1e-4, "top1_agreement": None}
    assert artifact["parity"]["images"] > 100
    assert artifact["operators"]["Placeholder"] == 1
    assert "loader" not in artifact

    content = tf.io.encode_png(np.random.RandomState(0).randint(0, 256, (8, 8, 1)).astype(np.uint8)).numpy()
    found, expected = (open_model(str(path)).answer([content], 3)[0] for path in (output / "dummy" / "1.npz", output))
    assert (found.classes, found.labels) == (expected.classes, expected.labels)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    (output / "dummy" / "7.npz").touch()
    assert next_version(str(output)) == 8
    entry.call("export", ["--help"])
    assert "Any of saved_model, litert, onnx, dummy." in capsys.readouterr().out


@pytest.mark.slow
def test_new_format_that_differs_is_not_published(finished_run, dummy, tmp_path):
    output = tmp_path / "out"
    dummy(1.01)
    with pytest.raises(CheckError, match=r"not published, an artifact differs from the network: dummy float32: rel"):
        export(finished_run, output)
    assert [name for name in os.listdir(output) if not name.startswith(".publishing")] == []


def test_format_without_its_row_is_unknown(finished_run, dummy, tmp_path, monkeypatch):
    dummy(1)
    monkeypatch.delitem(EXPORT_FORMATS, "dummy")
    message = '--formats: unknown format "dummy"; expected one of "saved_model", "litert", "onnx"'
    with pytest.raises(ConfigError) as error:
        export(finished_run, tmp_path / "out")
    assert str(error.value) == message
    assert not (tmp_path / "out").exists()


def test_format_with_a_missing_package_is_refused_before_any_work(tmp_path, monkeypatch):
    row = ExportFormat(
        name="dummy", title="Dummy", precisions=("float32",), suffix=".npz", tolerance=0.0, writer="", loader="",
        predictor="", packages=("numpy", "no_such_package"),
    )  # fmt: skip
    monkeypatch.setitem(EXPORT_FORMATS, "dummy", row)
    (tmp_path / "config.yaml").touch()  # a run that nothing reads
    with pytest.raises(ConfigError, match=r"^--formats=dummy: needs no_such_package: pip install .*\[dummy\]") as error:
        export(tmp_path, tmp_path / "out")
    assert "numpy" not in str(error.value)
