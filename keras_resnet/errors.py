"""Provides the errors that a user can fix. Each class has the exit code of a command that it ends."""

import difflib
import re
import textwrap

_SHOWN = 30  # values that `suggest` lists at most
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h: exit code for errors that are not a `UserError`


class UserError(Exception):
    """An error that the user can fix. Its message is one line: the subject, the value received, the values allowed.

    Attributes:
        exit_code: exit code of the command that the error ends; every class has its own.
    """

    exit_code: int


class CheckError(UserError):
    """A failed check, such as an exported artifact that differs from its network."""

    exit_code = 1


class ConfigError(UserError):
    """A flag, a configuration or a folder that does not fit the command."""

    exit_code = 2


class DataError(UserError):
    """A data set that is missing or cannot be read."""

    exit_code = 3


class DivergenceError(UserError):
    """Training with a loss that is not finite or explodes."""

    exit_code = 4


class DiskError(UserError):
    """A disk that is full or cannot be written."""

    exit_code = 5


class LostWorkerError(UserError):
    """The loss of another worker of the cluster."""

    exit_code = 6


class Stopped(UserError):
    """A run that a signal ended after the run saved a checkpoint."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def needs(package: str, extra: str) -> str:
    """Returns the end of an error message about a missing package that an extra of this package installs."""
    return f'needs {package}: pip install "keras-residual-networks[{extra}]"'


def suggest(value: str, allowed) -> str:
    """Returns a hint about the allowed values: `did you mean "resnet50"?`, or the values if none is similar.

    Two names are similar by their letters or by the first letters of the words ("lr" for "learning_rate").
    """
    allowed = [str(choice) for choice in allowed]
    close = [name for name in allowed if "_" in name and value == "".join(word[0] for word in name.split("_"))]
    close = close or difflib.get_close_matches(str(value), allowed, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f'"{choice}"' for choice in close) + "?"
    shown = [f'"{choice}"' for choice in allowed[:_SHOWN]]
    more = len(allowed) - len(shown)
    return "expected one of " + ", ".join(shown) + (f" and {more} others" if more else "")


def one_line(error: object, width: int = 200) -> str:
    """Returns another library's message as one line without escape codes, shortened to `width` between words."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error))
    return textwrap.shorten("".join(c if c.isprintable() else " " for c in text), width, placeholder=" ...")
