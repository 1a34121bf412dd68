"""Tests that every way in which a command ends has its own exit code."""

import re

import pytest

from keras_resnet import __version__
from keras_resnet.commands import entry
from keras_resnet.errors import CheckError, ConfigError, UserError

RUN = """
import sys, types
from keras_resnet import errors
from keras_resnet.commands import entry
sys.modules["keras_resnet.commands.given"] = types.SimpleNamespace(main=command)
entry.COMMANDS["given"] = "A command that ends as the test says."
entry.run("given", [])
"""


def subclasses(kind):
    return [each for child in kind.__subclasses__() for each in (child, *subclasses(child))]


@pytest.mark.parametrize("raised", ["KeyError('spec')", "RuntimeError('a\\nb')", "OSError(5, 'no')", "MemoryError()"])
def test_internal_error_prints_traceback_and_issue_tracker(cli, raised):
    process = cli("-c", f"def command(*_): raise {raised}\n{RUN}")
    assert process.returncode == 70
    assert process.stderr.startswith("Traceback (most recent call last):")
    last = process.stderr.splitlines()[-1]
    assert last.startswith(
        f"internal error of keras_resnet {__version__}: please report it in the project's issue tracker"
    )
    assert "environment.json" in last


def test_internal_error_on_import_of_command(cli, tmp_path):
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ImportError('rich is half installed')")
    process = cli("-m", "keras_resnet", "compare", "runs", env={"PYTHONPATH": str(tmp_path)}, fresh=True)
    assert process.returncode == 70
    assert "rich is half installed" in process.stderr
    assert process.stderr.splitlines()[-1].startswith("internal error of keras_resnet")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return 1", 1),
        ("raise errors.CheckError('differs')", 1),
        ("raise errors.ConfigError('wrong')", 2),
        ("raise errors.Stopped('saved', 143)", 143),
        ("raise KeyboardInterrupt", 130),
        ("return None", 0),
    ],
)
def test_command_exit_codes_other_than_internal_error(cli, body, code):
    process = cli("-c", f"def command(*_): {body}\n{RUN}")
    assert process.returncode == code
    assert "Traceback" not in process.stderr
    assert "internal error" not in process.stderr


def test_exit_code_1_is_reserved_for_failed_checks():
    codes = [kind.exit_code for kind in subclasses(UserError) if hasattr(kind, "exit_code")]
    assert len(set(codes)) == len(codes)
    assert CheckError.exit_code == 1
    assert not hasattr(UserError, "exit_code")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("-m", "keras_resnet"), ("train.py",), ("export.py",), ("-m", "keras_resnet", "list")]
)
def test_version_flag_prints_version(cli, command):
    process = cli(*command, "--version", fresh=True)
    assert (process.returncode, process.stdout) == (0, f"keras_resnet {__version__}\n")


def test_version_flag_imports_neither_tensorflow_nor_keras(cli):
    code = (
        "import runpy, sys; sys.argv = ['keras_resnet', '--version']\n"
        "try: runpy.run_module('keras_resnet', run_name='__main__')\n"
        "finally: print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    assert cli("-c", code).stdout.splitlines()[-1] == "[]"


def test_entry_call_flags_do_not_leak_between_commands(capsys):
    """`predict` and `benchmark` share --weights, `list` has a different one; a call leaves no flag values behind."""
    assert entry.call("list", ["--weights"]) is None
    assert "torchvision/resnet50.IMAGENET1K_V2" in capsys.readouterr().out
    assert entry.call("list", []) is None
    assert "torchvision/resnet50.IMAGENET1K_V2" not in capsys.readouterr().out
    for name in ("predict", "benchmark", "train", "export", "evaluate"):
        assert entry.call(name, ["--help"]) == 0
    assert entry.call("summary", ["cifar_resnet20", "--version=2"]) is None
    assert "version 2" in capsys.readouterr().out


def test_entry_call_unknown_flag_raises_config_error():
    with pytest.raises(ConfigError, match=r'^unknown flag "--wieghts"; did you mean "--weights"\?$'):
        entry.call("list", ["--wieghts"])


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_entry_help_has_indented_examples_and_no_text_of_absl(name, capsys):
    assert entry.call(name, ["--help"]) == 0
    text = capsys.readouterr().out
    assert not re.search(r"<\w+(\|\w+)+>:", text)
    assert not text.endswith("\n\n")
    assert re.search(rf"^    keras-resnet {name}", text, re.MULTILINE)
    assert not re.search(r"^keras-resnet", text, re.MULTILINE)


def test_entry_positional_argument_of_a_command_with_flags_only():
    with pytest.raises(ConfigError, match=r'^unexpected argument "foo"; this command takes only flags$'):
        entry.call("list", ["foo"])
