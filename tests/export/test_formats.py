"""The artifacts that the flags of export.py select."""

import pytest

from keras_resnet.errors import ConfigError
from keras_resnet.export.formats import Plan, plan

ALL = ["saved_model", "litert", "onnx"]


def test_plan_gives_each_format_its_supported_precisions():
    assert plan(["saved_model", "litert"], ["float32"]) == Plan()
    assert plan(ALL, ["int8", "float32", "int8"]) == Plan(litert=("int8", "float32"), onnx=("int8", "float32"))
    assert plan(ALL, ["bfloat16", "int8"]) == Plan(saved_model="bfloat16", litert=("int8",), onnx=("int8",))
    assert plan(ALL, ["float16"]) == Plan(litert=("float16",), onnx=("float32",))
    assert plan(["saved_model"], ["bfloat16"]) == Plan(saved_model="bfloat16", litert=())
    assert plan(ALL, ["int8"], "fold", "uint8").litert_interface == "uint8"


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
