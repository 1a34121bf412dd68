"""How every command starts and ends: absl flags in, one line per mistake of the user's, an exit code out."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator

import wrapt
from absl import flags

from keras_resnet import __version__
from keras_resnet.errors import INTERNAL_ERROR, ConfigError, Stopped, UserError, suggest
from keras_resnet.processor import choose_kernels


def main(command: Callable[[list[str]], int | None], argv: list[str] | None = None, usage: str = "") -> None:
    """Parses flags, runs `command(positional arguments)` and exits with its code (None is 0)."""
    # TensorFlow's notices on CPU features and missing GPUs would drown what the command says; without an NVIDIA driver
    # it also calls it an error that there is none.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")
    choose_kernels()
    wrapt.when_imported("keras")(_set_image_defaults)
    argv = sys.argv if argv is None else argv
    if any(argument in ("--help", "-h", "--helpfull", "--helpshort") for argument in argv[1:]):
        print(usage.strip() + "\n\n" + help_text())
        sys.exit(0)
    if "--version" in argv[1:]:
        print(f"keras_resnet {__version__}")
        sys.exit(0)
    with exits():
        try:
            positional = flags.FLAGS(argv)[1:]
        except flags.Error as error:
            raise ConfigError(
                " ".join(str(error).replace("Unknown command line flag", "unknown flag").split())
            ) from None
        code = command(positional)
        sys.stdout.flush()
        sys.exit(code)


@contextlib.contextmanager
def exits() -> Iterator[None]:
    """Turns what ends a command into its exit code.

    A `UserError` is printed as one line, an interrupt ends with 130. Anything else is an internal error: it keeps its
    traceback, says where to report it, and ends with `INTERNAL_ERROR`.
    """
    try:
        yield
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_code)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read the output has enough of it, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        print(
            f"internal error of keras_resnet {__version__}: please report it in the project's issue tracker, with the "
            "command, the lines above, and the environment.json of the run, if there is one",
            file=sys.stderr,
        )
        sys.exit(INTERNAL_ERROR)


def notify(line: str) -> None:
    """Prints a line for the user beside what the command answers."""
    print(line, file=sys.stderr)


def _set_image_defaults(keras):
    """Makes commands independent of ~/.keras/keras.json: images from files are channels last and float32."""
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")


def help_text() -> str:
    """The flags of this package's commands, one a line."""
    own = [
        flag
        for module, defined in flags.FLAGS.flags_by_module_dict().items()
        for flag in defined
        if not module.startswith("absl")
    ]
    names = [f"--{flag.name}={_default(flag)}" for flag in own]
    width = max(map(len, names), default=0)
    return "\n".join(f"  {name:<{width}}  {flag.help}" for name, flag in zip(names, own, strict=True))


def _default(flag):
    return "" if flag.default is None else ",".join(flag.default) if isinstance(flag.default, list) else flag.default


def require_tensorflow_backend() -> None:
    """Training and export run on TensorFlow alone.

    Raises:
        ConfigError: Keras is told to use another backend.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ["KERAS_BACKEND"] = backend  # also where ~/.keras/keras.json names another
    if backend != "tensorflow":
        raise ConfigError(f"KERAS_BACKEND={backend}: this command needs tensorflow; unset the variable")


def one_of(flag: str, value: str, allowed) -> None:
    """Raises a `ConfigError` that suggests the nearest where a flag's value is none of those allowed."""
    if value not in allowed:
        raise ConfigError(f'{flag}: unknown {flag[2:]} "{value}"; {suggest(value, allowed)}')


def no_arguments(positional: list[str]) -> None:
    """Raises a `ConfigError` where a command that takes only flags is given more."""
    if positional:
        raise ConfigError(
            f'unexpected argument "{positional[0]}"; this command takes only flags, such as --set=key=value'
        )
