"""Converts a network to .tflite files of several precisions, with builtin operators only; also for batch 1."""

import json
import os
import zipfile
from collections.abc import Iterator

import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from keras_resnet.console import quiet
from keras_resnet.description import Description
from keras_resnet.export.conversion import Conversion
from keras_resnet.export.saved_model import labels_text, write_single

LABELS = "labels.txt"
_TYPES = {"uint8": schema.TensorType.UINT8, "int8": schema.TensorType.INT8}
_ALIGNMENT = 16  # bytes, of weights in the file; the schema requires it and kernels expect it
# Slots of the tables in metadata_schema.fbs; a union takes two, for its kind and its value.
_NORMALIZATION, _IMAGE, _AXIS_LABELS = 1, 2, 2
_COLOR = {1: 2, 3: 1}  # channels -> ColorSpaceType: RGB is 1, GRAYSCALE 2, UNKNOWN 0
_SCORES = {
    False: "A score for each class; their sum is 1.",
    True: "A score from 0 to 1 for each label; description.json has the thresholds.",
}


def write_artifacts(conversion: Conversion) -> Iterator[dict]:
    """Writes a file of free batch size and one of batch 1 for each precision, or only the one that the task has."""
    description, single = conversion.description, os.path.join(conversion.staging, "single")
    write_single(conversion.frozen, conversion.spec, single)
    for precision in conversion.plan.precisions["litert"]:
        conversion.tell(f"writing LiteRT, {precision}")
        if conversion.what.batch:
            path = conversion.path("litert", precision, conversion.what.batch)
            write_litert(single, path, description, precision)
            yield {"format": "litert", "precision": precision, "batch": conversion.what.batch, "path": path}
            continue
        free, batch1 = (conversion.path("litert", precision, batch) for batch in (None, 1))
        calibration = conversion.calibration if precision == "int8" else None
        write_litert(single, free, description, precision, calibration)
        yield {"format": "litert", "precision": precision, "path": free}
        interface = conversion.plan.litert_interface if precision == "int8" else "float32"
        write_batch1(free, batch1, description, labels_text(description.labels), interface)
        kind = {"format": "litert", "precision": precision, "batch": 1, "interface": interface}
        yield kind | {"path": batch1, "made_from": free}


def write_litert(
    single: str, path: str, description: Description, precision: str = "float32", calibration: np.ndarray | None = None
) -> None:
    """Converts a SavedModel of `write_single` and packs labels.txt and description.json into the file.

    A `.tflite` file may end with a zip archive (the convention of LiteRT's metadata): any zip tool reads
    it, and interpreters ignore it. Images and logits are float32 in every precision.

    Args:
        single: the SavedModel, with the signature predict_images.
        path: path of the file to write.
        description: model description, with preprocessing and class names.
        precision: "float32"; "float16" weights; "dynamic": int8 weights, float32 sums; "int8" for everything.
        calibration: images (N, H, W, C) float32 from which "int8" chooses its ranges.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(single, signature_keys=["predict_images"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        assert calibration is not None
        converter.representative_dataset = lambda: (
            ("predict_images", {"images": image[None]}) for image in calibration
        )
    with quiet():
        content = converter.convert()
    with open(path, "wb") as file:
        file.write(content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", labels_text(description.labels))
        archive.writestr("description.json", json.dumps(description.to_json()))


def write_batch1(free: str, path: str, description: Description, labels: str, interface: str = "float32") -> None:
    """Writes the file: image (1, H, W, C) in [0, 255] -> scores (1, classes).

    Args:
        free: the file of free batch size, from `write_litert`.
        path: path of the file to write.
        description: model description.
        labels: the text of labels.txt, packed into the file with the description.
        interface: type of image and scores; "uint8" and "int8" require a file of precision int8.
    """
    model = flatbuffer_utils.read_model(free)
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        tensor.shapeSignature = None  # free dimensions; `tensor.shape` already has batch 1
    _keep_scores(model, graph)
    if interface != "float32":
        _quantize_interface(graph, _TYPES[interface])
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = np.frombuffer(_metadata(description), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata.append(entry)
    for buffer in model.buffers:
        buffer.__class__ = _AlignedBuffer
    with open(path, "wb") as file:
        file.write(flatbuffer_utils.convert_object_to_bytearray(model))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS, labels)
        archive.writestr("description.json", json.dumps(description.to_json()))


def _keep_scores(model, graph):
    """Removes the logits from the outputs; the scores are still computed from them."""
    (signature,) = model.signatureDefs
    signature.outputs = [output for output in signature.outputs if output.name == b"scores"]
    dropped = {*map(int, graph.outputs)}
    graph.outputs = [signature.outputs[0].tensorIndex]
    dropped -= {*graph.outputs}
    read = {int(index) for operator in graph.operators for index in operator.inputs}
    graph.operators = [o for o in graph.operators if not {*map(int, o.outputs)} <= dropped - read]


def _quantize_interface(graph, kind):
    """Makes input and output integers, with the scale and zero point of the first and the last operator."""
    tensors, first = graph.tensors, next(o for o in graph.operators if graph.inputs[0] in o.inputs)
    last = next(o for o in graph.operators if graph.outputs[0] in o.outputs)
    for outer, inner in ((graph.inputs[0], first.outputs[0]), (graph.outputs[0], last.inputs[0])):
        outer, inner = tensors[outer], tensors[inner]
        outer.type, outer.quantization = kind, _copied(inner.quantization, 128 if kind == _TYPES["uint8"] else 0)
    last.opcodeIndex = first.opcodeIndex  # QUANTIZE, which also converts integers to integers
    last.builtinOptions, last.builtinOptionsType = first.builtinOptions, first.builtinOptionsType


def _copied(quantization, shift):
    copy = schema.QuantizationParametersT()
    copy.scale = list(quantization.scale)
    copy.zeroPoint = [int(point) + shift for point in quantization.zeroPoint]
    return copy


class _AlignedBuffer(schema.BufferT):
    """A buffer that is aligned as by the converter and the schema; Python's generated code aligns none."""

    def Pack(self, builder):
        data = b"" if self.data is None else np.asarray(self.data, np.uint8).tobytes()
        if data:
            builder.StartVector(1, len(data), _ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _metadata(description):
    """Returns the metadata of the file, by the schema."""
    builder = _MetadataBuilder()
    name, channels = description.spec.name, description.preprocessing.channels
    values = "Pixels from 0 to 255" if channels in _COLOR else description.preprocessing.pixel_values.capitalize()
    normalization = builder.table({0: builder.floats([0]), 1: builder.floats([1])})
    image = builder.table(
        {
            0: builder.CreateString("image"),
            1: builder.CreateString(f"{values}; normalization is inside the network."),
            3: builder.table({0: _Kind(_IMAGE), 1: builder.table({0: _Kind(_COLOR.get(channels, 0))})}),
            4: builder.vector([builder.table({0: _Kind(_NORMALIZATION), 1: normalization})]),
            **({5: builder.table({0: builder.floats([255]), 1: builder.floats([0])})} if channels in _COLOR else {}),
        }
    )
    labels = builder.table({0: builder.CreateString(LABELS), 2: _Kind(_AXIS_LABELS)})
    scores = builder.table(
        {
            0: builder.CreateString("scores"),
            1: builder.CreateString(_SCORES[bool(description.thresholds)]),
            5: builder.table({0: builder.floats([1]), 1: builder.floats([0])}),
            6: builder.vector([labels]),
        }
    )
    graph = builder.table({2: builder.vector([image]), 3: builder.vector([scores])})
    root = builder.table(
        {
            0: builder.CreateString(name),
            1: builder.CreateString(f"{name}, an image classifier."),
            3: builder.vector([graph]),
            7: builder.CreateString("1.0.0"),
        }
    )
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


class _Kind(int):
    """A one-byte value in a table's slot; other values are offsets of objects built before."""


class _MetadataBuilder(flatbuffers.Builder):
    """Builds tables and vectors, innermost first."""

    def table(self, slots):
        self.StartObject(max(slots) + 1)
        for slot, value in slots.items():
            add = self.PrependUint8Slot if isinstance(value, _Kind) else self.PrependUOffsetTRelativeSlot
            add(slot, value, 0)
        return self.EndObject()

    def vector(self, places):
        self.StartVector(4, len(places), 4)
        for place in reversed(places):
            self.PrependUOffsetTRelative(place)
        return self.EndVector()

    def floats(self, values):
        self.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.PrependFloat32(value)
        return self.EndVector()
