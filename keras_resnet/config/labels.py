"""Configuration of labels: the columns of a CSV file."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from keras_resnet.config.fields import Group

_Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def names(**settings: Any) -> Any:
    """Returns a field for a name, or for a list of names."""
    return Field((), strict=False, **settings)


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
    separator: str | None = Field(
        None, min_length=1, description="Task multilabel: text between labels of a column. null: the one of | ; , used."
    )
    folder: str | None = Field(
        None, min_length=1, description="Folder of the images, relative to the file. null: that of the file."
    )
    suffix: str = Field("", description="Appended to the paths, for columns of names without .jpg.")
