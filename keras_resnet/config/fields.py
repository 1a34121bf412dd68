"""What the groups of a configuration are made of: their base class, and checks that suggest what is meant."""

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from keras_resnet.errors import suggest


def one_of(allowed):
    """Checks that a text is one of `allowed`, and suggests the nearest."""

    def check(value):
        if value not in allowed:
            raise PydanticCustomError("unknown_name", "{hint}", {"hint": suggest(value, allowed)})
        return value

    return AfterValidator(check)


def problem(at, text, beside=None):
    """What a validator raises where the keys `at`, below its group, do not fit, or not with the keys `beside`."""
    context = {"at": at, "problem": text} | ({"beside": beside} if beside else {})
    return PydanticCustomError("at", "{problem}", context)


class Group(BaseModel):
    """A group of keys: fixed once read, no unknown keys, no number for a text."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
