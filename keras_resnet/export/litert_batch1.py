"""A .tflite file of batch 1 from one of free batch: for LiteRT.js, MediaPipe, Android's Task library, accelerators.

Those refuse or ignore files whose batch is free or that give several answers. What this file adds is metadata by
TensorFlow Lite's schema (tflite_metadata, `metadata_schema.fbs`), from which they take labels and normalization.
"""

import json
import zipfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from keras_resnet.description import Description

LABELS = "labels.txt"
_TYPES = {"uint8": schema.TensorType.UINT8, "int8": schema.TensorType.INT8}
_ALIGNMENT = 16  # bytes, of weights in the file, as the schema asks for and kernels expect


def write_batch1(free: str, path: str, description: Description, labels: str, interface: str = "float32") -> None:
    """Writes the file: image (1, H, W, C) in [0, 255] -> scores (1, classes).

    Args:
        free: the file of free batch, as `write_litert` makes it.
        path: of the file to write.
        description: how images are prepared.
        labels: the text of labels.txt, packed into the file with the description.
        interface: type of image and scores; "uint8" and "int8" are for files whose precision is int8.
    """
    model = flatbuffer_utils.read_model(free)
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        tensor.shapeSignature = None  # free dimensions; beside it stands the shape, of batch 1
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
    """Logits are computed on the way to the scores, but no answer any more."""
    (signature,) = model.signatureDefs
    signature.outputs = [output for output in signature.outputs if output.name == b"scores"]
    dropped = {*map(int, graph.outputs)}
    graph.outputs = [signature.outputs[0].tensorIndex]
    dropped -= {*graph.outputs}
    read = {int(index) for operator in graph.operators for index in operator.inputs}
    graph.operators = [o for o in graph.operators if not {*map(int, o.outputs)} <= dropped - read]


def _quantize_interface(graph, kind):
    """Whole numbers in and out, with the scale and the zero point that the first and the last operator have."""
    tensors, first = graph.tensors, next(o for o in graph.operators if graph.inputs[0] in o.inputs)
    last = next(o for o in graph.operators if graph.outputs[0] in o.outputs)
    for outer, inner in ((graph.inputs[0], first.outputs[0]), (graph.outputs[0], last.inputs[0])):
        outer, inner = tensors[outer], tensors[inner]
        outer.type, outer.quantization = kind, _copied(inner.quantization, 128 if kind == _TYPES["uint8"] else 0)
    last.opcodeIndex = first.opcodeIndex  # QUANTIZE, which also goes from whole numbers to whole numbers
    last.builtinOptions, last.builtinOptionsType = first.builtinOptions, first.builtinOptionsType


def _copied(quantization, shift):
    copy = schema.QuantizationParametersT()
    copy.scale = list(quantization.scale)
    copy.zeroPoint = [int(point) + shift for point in quantization.zeroPoint]
    return copy


class _AlignedBuffer(schema.BufferT):
    """Python's generated code aligns no buffer; the converter and the schema do."""

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


# Slots of the tables in metadata_schema.fbs; a union takes two, for its kind and its value.
_NORMALIZATION, _IMAGE, _AXIS_LABELS = 1, 2, 2
_RGB, _GREY = 1, 2


def _metadata(description):
    """The metadata of the file, by the schema."""
    builder = _MetadataBuilder()
    name, color = description.spec.name, _RGB if description.preprocessing.channels == 3 else _GREY
    normalization = builder.table({0: builder.floats([0]), 1: builder.floats([1])})
    image = builder.table(
        {
            0: builder.CreateString("image"),
            1: builder.CreateString("Pixels from 0 to 255; normalization is inside the network."),
            3: builder.table({0: _Kind(_IMAGE), 1: builder.table({0: _Kind(color)})}),
            4: builder.vector([builder.table({0: _Kind(_NORMALIZATION), 1: normalization})]),
            5: builder.table({0: builder.floats([255]), 1: builder.floats([0])}),
        }
    )
    labels = builder.table({0: builder.CreateString(LABELS), 2: _Kind(_AXIS_LABELS)})
    scores = builder.table(
        {
            0: builder.CreateString("scores"),
            1: builder.CreateString("A score for each class; their sum is 1."),
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
    """A value of one byte in a table's slot; other values are places of what was built before."""


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
