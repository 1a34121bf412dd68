"""The base class of configuration groups, and validators that suggest allowed values."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError

from keras_resnet.errors import suggest

MAX_CHANNELS = 256  # of an image


def one_of(allowed):
    """Returns a validator that checks that a text is one of `allowed`, and suggests the closest one."""

    def check(value):
        if value not in allowed:
            raise PydanticCustomError("unknown_name", "{hint}", {"hint": suggest(value, allowed)})
        return value

    return AfterValidator(check)


def choice_of(table):
    """Returns the type of a key whose value is a name of `table`, whose rows a test or a user may add to."""

    def check(value):
        if value not in table:
            raise PydanticCustomError("unknown_choice", "{hint}", {"hint": suggest(value, table)})
        return value

    return Annotated[str, AfterValidator(check), WithJsonSchema({"type": "string", "enum": [*table]})]


def problem(at, text, beside=None):
    """Returns the error for invalid keys `at`, relative to the group, or for their conflict with the keys `beside`."""
    context = {"at": at, "problem": text} | ({"beside": beside} if beside else {})
    return PydanticCustomError("at", "{problem}", context)


class Group(BaseModel):
    """The base class of groups: frozen, without unknown keys, with strict types."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
