"""Provides the command line: the table of commands, flag parsing with absl, error messages and exit codes."""

import contextlib
import importlib
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence

import wrapt
from absl import flags

from keras_resnet import __version__
from keras_resnet.console import import_tensorflow_quietly
from keras_resnet.errors import INTERNAL_ERROR, ConfigError, Stopped, UserError, suggest
from keras_resnet.files import csv_table, write_atomically
from keras_resnet.processor import choose_kernels
from keras_resnet.renamed import COMMANDS as RENAMED_COMMANDS
from keras_resnet.renamed import FLAGS as RENAMED_FLAGS
from keras_resnet.renamed import SINCE, WORKING_COMMANDS

# name -> one line of help. Each command is a module of this package with `main(options, arguments)`, which returns the
# exit code (None is 0), and, if it has flags, `define_flags(options)`.
COMMANDS = {
    "train": "Train a network from a recipe, or resume a run.",
    "tune": "Suggest a learning rate and a batch size for a recipe.",
    "evaluate": "Measure a run's or pretrained weights' error on a split of a data set.",
    "predict": "Classify images with a run, weights, or an export of any format.",
    "export": "Export a run or weights: SavedModel for TF Serving, LiteRT, ONNX.",
    "benchmark": "Time models side by side and compare their outputs.",
    "list": "List networks, pretrained weights or recipes.",
    "summary": "Show one network's stages, parameters and MACs.",
    "compare": "Tabulate the runs of a folder beside published results.",
    "reproduce": "Reproduce the paper's findings: degradation, gradients, responses and others.",
    "convert-weights": "Convert weights of any source to keras_resnet, torchvision or timm files.",
    "package-for-hub": "Write a folder to upload to the Hugging Face Hub.",
    "prepare-data": "Convert a folder of images to TFRecord files.",
    "verify-data": "Check every image of a data set before a long run.",
    "sample-images": "Write images of a data set as PNG files.",
    "schema": "Print the JSON schema of configuration files, for editors.",
}

USAGE = (
    "keras-resnet COMMAND [ARGUMENTS] [--help]\n\n"
    + "\n".join(f"  {name:<16} {text}" for name, text in COMMANDS.items())
    + "\n\n`keras-resnet COMMAND --help` shows the arguments and flags of a command."
)


def main() -> None:
    """Runs the command that the first argument names, as `keras-resnet` and `python -m keras_resnet` do."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "--version":
        print(f"keras_resnet {__version__}")
    elif name in ("--help", "-h", "help"):
        print(USAGE)
    else:
        run(name, sys.argv[2:])


def run(name: str, arguments: list[str]) -> None:
    """Runs a command and exits with its code.

    Args:
        name: a key of `COMMANDS`.
        arguments: flags and positional arguments, as on the command line.
    """
    # TensorFlow's notices about CPU features and missing GPUs would hide the command's output. Without an NVIDIA driver
    # TensorFlow also logs an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")
    choose_kernels()
    import_tensorflow_quietly()
    wrapt.when_imported("keras")(_set_image_defaults)
    with exits():
        code = call(name, arguments)
        sys.stdout.flush()
        sys.exit(code)


def call(name: str, arguments: list[str]) -> int | None:
    """Runs a command in this process and returns its exit code.

    Raises:
        UserError: an error of the user; the message is one line.
    """
    if name in WORKING_COMMANDS:
        old, name = name, WORKING_COMMANDS[name]
        notify(f"{old} is now called {name}: {shlex.join(['keras-resnet', name, *arguments])}")
    if name in RENAMED_COMMANDS:
        raise ConfigError(f'command "{name}" was renamed in version {SINCE}: use "{RENAMED_COMMANDS[name]}"')
    if name not in COMMANDS:
        raise ConfigError(f'unknown command "{name}"; {suggest(name, COMMANDS)}')
    module = importlib.import_module(f"keras_resnet.commands.{name.replace('-', '_')}")
    options = flags.FlagValues()
    if hasattr(module, "define_flags"):
        module.define_flags(options)
    if any(argument in ("--help", "-h", "--helpfull", "--helpshort") for argument in arguments):
        # Formatters remove the indentation of examples where nothing but examples follows the first line.
        text = re.sub(r"^keras-resnet ", "    keras-resnet ", (module.__doc__ or "").strip(), flags=re.MULTILINE)
        print(f"{text}\n\n{help_text(options)}".rstrip())
        return 0
    if arguments[-1:] == ["--version"]:
        print(f"keras_resnet {__version__}")
        return 0
    try:
        positional = options([name, *arguments])[1:]
    except flags.Error as error:
        raise ConfigError(_flag_error(error, arguments, name, options)) from None
    return module.main(options, positional)


def _flag_error(error, arguments, command, options):
    for argument in arguments:
        flag = argument.lstrip("-").partition("=")[0]
        if flag in RENAMED_FLAGS and argument.startswith("--"):
            return f"--{flag} was renamed in version {SINCE}: use --{RENAMED_FLAGS[flag]}"
    if isinstance(error, flags.UnrecognizedFlagError):
        hint = suggest(f"--{error.flagname}", [f"--{known}" for known in options])
        hint = hint if hint.startswith("did") else f"`keras-resnet {command} --help` shows the flags"
        return f'unknown flag "--{error.flagname}"; {hint}'
    return " ".join(str(error).split())


@contextlib.contextmanager
def exits() -> Iterator[None]:
    """Turns exceptions into exit codes.

    A `UserError` is printed as one line; an interrupt exits with 130. Any other exception is an internal error: its
    traceback is printed with a request to report it, and the exit code is `INTERNAL_ERROR`.
    """
    try:
        yield
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_code)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        print(
            f"internal error of keras_resnet {__version__}: please report it in the project's issue tracker, with the "
            "command, the lines above, and the run's environment.json, if any",
            file=sys.stderr,
        )
        sys.exit(INTERNAL_ERROR)


def notify(line: str) -> None:
    """Prints a notice to stderr, so that stdout holds only the command's output."""
    print(line, file=sys.stderr)


def _set_image_defaults(keras):
    """Makes commands independent of ~/.keras/keras.json: channels-last float32 images."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")


def help_text(options: flags.FlagValues) -> str:
    """Returns the command's flags, one per line."""
    own = [flag for defined in options.flags_by_module_dict().values() for flag in defined]
    names = [f"--{flag.name}={_default(flag)}" for flag in own]
    width = max(map(len, names), default=0)
    return "\n".join(f"  {name:<{width}}  {_help(flag)}" for name, flag in zip(names, own, strict=True))


def _help(flag):
    text = flag.help.split(";\n")[0]  # without the text that absl adds for repeatable flags
    return text.removeprefix(f"<{'|'.join(getattr(flag.parser, 'enum_values', ()))}>: ")  # nor that for enumerations


def _default(flag):
    return "" if flag.default is None else ",".join(flag.default) if isinstance(flag.default, list) else flag.default


def require_tensorflow_backend() -> None:
    """Checks that Keras runs on TensorFlow, which training and export need.

    Raises:
        ConfigError: Keras is configured for another backend.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ["KERAS_BACKEND"] = backend  # overrides ~/.keras/keras.json
    if backend != "tensorflow":
        raise ConfigError(f"KERAS_BACKEND={backend}: this command needs tensorflow; unset the variable")


def one_of(flag: str, value: str, allowed, noun: str | None = None) -> None:
    """Raises a `ConfigError` with a suggestion unless a flag's value is allowed; `noun` says what the value is."""
    if value not in allowed:
        raise ConfigError(f'{flag}: unknown {noun or flag[2:]} "{value}"; {suggest(value, allowed)}')


def no_arguments(arguments: list[str]) -> None:
    """Raises a `ConfigError` if a command that takes only flags gets positional arguments."""
    if arguments:
        raise ConfigError(f'unexpected argument "{arguments[0]}"; this command takes only flags')


def write_csv(path: str, rows: Sequence[Mapping], columns: Sequence[str], line_end: str = "\n") -> None:
    """Writes the file of a command's `--csv`; the arguments are those of `csv_table`.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        write_atomically(path, csv_table(rows, columns, line_end))
    except OSError as error:
        raise ConfigError(f"--csv={path}: cannot be written ({error.strerror})") from None
