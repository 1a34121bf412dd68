"""Configuration of labels: the columns of a CSV file, weights of classes, and sampling by class."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from keras_resnet.config.fields import Group, problem

Sampling = Literal["natural", "balanced", "sqrt"]

_Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def names(**settings: Any) -> Any:
    """Returns a field for a name, or for a list of names."""
    return Field((), strict=False, **settings)


def _weights(value):
    is_number = {name: isinstance(each, (int, float)) and not isinstance(each, bool) for name, each in _pairs(value)}
    if value is None or value == "balanced" or (is_number and all(is_number.values()) and _are_weights(value)):
        return value
    raise problem([], f'expected "balanced" or {{class: weight >= 0}}, got {value}')


def _separator(value):
    if value == "":
        raise problem(
            [], """expected a text, got ""; signs need two kinds of quotes: --set "data.csv.separator='|'\""""
        )
    return value


def _pairs(value):
    return value.items() if isinstance(value, dict) else ()


def _are_weights(value):
    return all(isinstance(name, str) and 0 <= weight < math.inf for name, weight in value.items())


# Any, because a union of types would name its members in errors.
ClassWeights = Annotated[
    Any,
    AfterValidator(_weights),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "balanced", "type": "string"},
                {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
                {"type": "null"},
            ]
        }
    ),
]


class CsvColumns(Group):
    """The columns of a CSV file, where they do not have usual names, and the places of its images."""

    image: str | None = Field(
        None, min_length=1, description="Column of the images' paths. null: one with a usual name, such as file_name."
    )
    label: _Names = names(
        description="Column of the labels; or a list of columns, one for each class, that hold 1 or 0, or the "
        "probability of the class. Empty: one with a usual name, such as label; the only other column; or all other "
        "columns, if they hold numbers from 0 to 1."
    )
    split: str | None = Field(
        None, min_length=1, description="Column of the splits: train, val, test. null: one with a usual name, if any."
    )
    separator: Annotated[str | None, AfterValidator(_separator)] = Field(
        None, description="Task multilabel: text between labels of a column. null: the one of | ; , used."
    )
    folder: str | None = Field(
        None, min_length=1, description="Folder of the images, relative to the file. null: that of the file."
    )
    suffix: str = Field("", description="Appended to the paths, for columns of names without .jpg.")
