"""LiteRT files of batch size 1 meet the requirements of LiteRT.js, MediaPipe and Android's Task library."""

import json
import shutil
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from conftest import run
from flatbuffers import encode, number_types

from keras_resnet.description import Description, Preprocessing
from keras_resnet.export.litert import write_batch1
from keras_resnet.export.saved_model import labels_text
from keras_resnet.inference.litert import LiteRTPredictor
from keras_resnet.specs import SPECS

pytestmark = pytest.mark.slow

IMAGE = np.random.RandomState(0).randint(0, 256, (1, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    """Returns the folder of the .tflite files of an export in float32 and int8."""
    output = tmp_path_factory.mktemp("batch1") / "digits"
    flags = ("--formats=saved_model,litert", "--precision=float32,int8", "--set=export.min_top1_agreement=0.5")
    process = run("export.py", f"--workdir={finished_run}", f"--output={output}", *flags, "--litert_interface=uint8")
    assert process.returncode == 0, process.stderr
    assert "int8, batch 1, uint8 in and out" in process.stdout
    return output / "litert"


def asked(path, image):
    """Returns (scores that the file gives for an image, details of the input, of the output)."""
    runner = Interpreter(str(path)).get_signature_runner("predict_images")
    assert list(runner.get_output_details()) == ["scores"]
    return runner(images=image)["scores"], runner.get_input_details()["images"], runner.get_output_details()["scores"]


def free_scores(path):
    return Interpreter(str(path)).get_signature_runner("predict_images")(images=IMAGE)["scores"]


def test_batch1_file_has_fixed_shapes_and_the_same_scores(exported):
    scores, taken, given = asked(exported / "1-batch1.tflite", IMAGE)
    np.testing.assert_array_equal(scores, free_scores(exported / "1.tflite"))
    for details, shape in ((taken, [1, 8, 8, 1]), (given, [1, 10])):
        assert list(details["shape"]) == list(details["shape_signature"]) == shape
    model = flatbuffer_utils.read_model(str(exported / "1-batch1.tflite"))
    assert all(tensor.shapeSignature is None for tensor in model.subgraphs[0].tensors)


@pytest.mark.parametrize("interface", ["uint8", "int8"])
def test_batch1_int8_file_has_integer_inputs_and_outputs(exported, tmp_path, interface):
    free = exported / "1-int8.tflite"
    path = exported / "1-int8-batch1.tflite"
    if interface == "int8":
        with zipfile.ZipFile(free) as archive:
            description = Description.from_json(json.loads(archive.read("description.json")))
        path = tmp_path / "int8.tflite"
        write_batch1(str(free), str(path), description, labels_text(description.labels), interface)
    lowest = {"uint8": 0, "int8": -128}[interface]
    scores, taken, given = asked(path, (IMAGE + lowest).astype(interface))
    assert (taken["dtype"], given["dtype"]) == (np.dtype(interface), np.dtype(interface))
    assert taken["quantization"] == (1.0, lowest)  # one step is one pixel value
    scale, zero = given["quantization"]
    np.testing.assert_allclose((scores.astype(np.float32) - zero) * scale, free_scores(free), atol=1e-6)


@pytest.mark.parametrize("name", ["1-batch1.tflite", "1-int8-batch1.tflite"])
def test_batch1_predictor_matches_the_file_of_any_batch_size(exported, name):
    images = np.random.RandomState(1).randint(0, 256, (5, 8, 8, 1)).astype(np.float32)
    free, fixed = (LiteRTPredictor(str(exported / each), each) for each in (name.replace("-batch1", ""), name))
    shifted = [predictor.logits(images) for predictor in (free, fixed)]
    scores = [np.exp(each - each.max(1, keepdims=True)) for each in shifted]
    scores = [each / each.sum(1, keepdims=True) for each in scores]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-5 if "int8" not in name else 0.02)
    assert fixed.labels == free.labels == tuple("0123456789")


def test_batch1_file_aligns_weights_to_16_bytes(exported):
    content = (exported / "1-batch1.tflite").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    places = []
    for i in range(model.BuffersLength()):
        field = number_types.UOffsetTFlags.py_type(model.Buffers(i)._tab.Offset(4))
        if field:
            places.append(model.Buffers(i)._tab.Vector(field))
    assert len(places) > 20
    assert all(place % 16 == 0 for place in places)


def field(table, slot):
    """Returns the position of a table's field."""
    return table.Pos + table.Offset(4 + 2 * slot)


def sub_table(table, slot):
    return flatbuffers.table.Table(table.Bytes, table.Indirect(field(table, slot)))


def entry(table, slot):
    """Returns the first table of a vector field."""
    offset = table.Offset(4 + 2 * slot)
    assert table.VectorLen(offset) == 1
    return flatbuffers.table.Table(table.Bytes, table.Indirect(table.Vector(offset)))


def text(table, slot):
    return table.String(field(table, slot)).decode()


def kind(table, slot):
    return table.Get(number_types.Uint8Flags, field(table, slot))


def floats(table, slot):
    offset = table.Offset(4 + 2 * slot)
    start = table.Vector(offset)
    return [table.Get(number_types.Float32Flags, start + 4 * i) for i in range(table.VectorLen(offset))]


def metadata(path):
    """Returns the root of the metadata in a file."""
    model = flatbuffer_utils.read_model(str(path))
    (place,) = (each.buffer for each in model.metadata if each.name == b"TFLITE_METADATA")
    content = bytes(model.buffers[place].data)
    assert content[4:8] == b"M001"
    return flatbuffers.table.Table(content, encode.Get(flatbuffers.packer.uoffset, content, 0))


@pytest.mark.parametrize(
    ("channels", "color", "values"),
    [
        (3, 1, "Pixels from 0 to 255; normalization is inside the network."),
        (5, 0, "Arrays of 5 channels in the units of the training files; normalization is inside the network."),
    ],
)
def test_metadata_names_the_colors_of_images(exported, tmp_path, channels, color, values):
    numbers = {"mean": (9.0,) * channels, "std": (2.0,) * channels}
    preprocessing = Preprocessing(**numbers, image_size=8, channels=channels)
    description = Description(spec=SPECS["cifar_resnet20"], preprocessing=preprocessing, labels=tuple("0123456789"))
    write_batch1(str(exported / "1.tflite"), str(tmp_path / "model.tflite"), description, "0", "float32")
    image = entry(entry(metadata(tmp_path / "model.tflite"), 3), 2)
    properties = sub_table(sub_table(image, 3), 1)
    assert (kind(properties, 0) if properties.Offset(4) else 0) == color  # ColorSpaceType: UNKNOWN, RGB
    assert text(image, 1) == values
    assert bool(image.Offset(4 + 2 * 5)) == (channels == 3)  # Stats: the range of pixels


def test_batch1_metadata_follows_the_official_schema(exported):
    """Slots and types follow metadata_schema.fbs (tflite-support 0.4.4); MediaPipe 1.2 reads such a file."""
    root = metadata(exported / "1-batch1.tflite")
    assert text(root, 0) == "cifar_resnet20"
    graph = entry(root, 3)
    image, scores = entry(graph, 2), entry(graph, 3)
    content = sub_table(image, 3)
    assert kind(content, 0) == 2  # ImageProperties
    assert kind(sub_table(content, 1), 0) == 2  # GRAYSCALE
    unit = entry(image, 4)
    assert kind(unit, 0) == 1  # NormalizationOptions
    assert (floats(sub_table(unit, 1), 0), floats(sub_table(unit, 1), 1)) == ([0.0], [1.0])
    labels = entry(scores, 6)
    assert text(labels, 0) == "labels.txt"
    assert kind(labels, 2) == 2  # TENSOR_AXIS_LABELS
    with zipfile.ZipFile(exported / "1-batch1.tflite") as archive:
        assert archive.read("labels.txt").decode().split() == list("0123456789")


def test_batch1_file_alone_has_its_preprocessing(exported, tmp_path):
    path = shutil.copy(exported / "1-int8-batch1.tflite", tmp_path / "alone.tflite")
    assert LiteRTPredictor(str(path), "alone").preprocessing.image_size == 8
