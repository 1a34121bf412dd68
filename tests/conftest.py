"""What all tests share: quiet TensorFlow, the command lines as child processes, the golden figures."""

import contextlib
import functools
import gc
import io
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from keras_resnet import processor

# Commands choose oneDNN by the processor before they load TensorFlow; in forks of a process that has it loaded they
# cannot. All processes of the tests have the kernels of TensorFlow's own choice, so that their results have equal bits.
if "avx2" in processor.instruction_sets():
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", str(int(processor.has_onednn_by_itself())))

import pytest
from filelock import FileLock
from fork_server import ForkServer, rare_collections
from xdist.scheduler import LoadScopeScheduling

ROOT = pathlib.Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
sys.path[:0] = [str(GOLDEN), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]


def pytest_configure(config):
    """Sets TensorFlow up in the processes that run tests; the process that distributes them does without it."""
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", None):
        if config.args == config.getini("testpaths"):  # all tests: it loads TensorFlow while the others do
            SERVER.start()
        return
    gc.disable()
    import tensorflow as tf

    rare_collections()
    # The processes share the machine's cores. Commands, in processes of their own, have what users have.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    # Two CPU devices, so that two replicas can train; possible only before TensorFlow starts.
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # Tests trace much and run little: without TensorFlow's rewriting of graphs they take half the time.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@functools.cache
def shared_run(file):
    """Name of the run that a test file shares with others, or None."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return next((fixture for fixture in ("finished_export", "whole_run") if fixture in text), None)


class SharedRunScheduling(LoadScopeScheduling):
    """pytest-xdist's distribution by file, except that no process waits for a run that another one makes."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0]
        return shared_run(file) or file


def pytest_xdist_make_scheduler(config, log):
    return SharedRunScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


BEGAN = time.monotonic()


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(config, items):
    """Puts files that share a run first, marks the cases that a `sampled` test does not name as slow.

    It refuses names that no case has.
    """
    items.sort(key=lambda item: not shared_run(item.nodeid.partition("::")[0]))
    unknown: dict[str, set] = {}
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled:
            unknown.setdefault(item.nodeid.partition("[")[0], set(sampled.args)).discard(item.callspec.id)
            if item.callspec.id not in sampled.args:
                item.add_marker(pytest.mark.slow)
    for test, ids in unknown.items():
        if ids and not any("[" in argument for argument in config.args):
            raise pytest.UsageError(f"{test}: no case has the id {sorted(ids)}")


def pytest_runtest_setup(item):
    """Skips slow tests that would begin after $SLOW_MINUTES, where a machine has no more time for them."""
    minutes = os.environ.get("SLOW_MINUTES")
    if minutes and item.get_closest_marker("slow") and time.monotonic() - BEGAN > 60 * float(minutes):
        pytest.skip(f"begins later than SLOW_MINUTES={minutes}")


@pytest.fixture(scope="session")
def strategies():
    """Number of replicas -> strategy."""
    import tensorflow as tf

    return {1: tf.distribute.OneDeviceStrategy("CPU:0"), 2: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])}


@pytest.fixture
def float64():
    """Keras in double precision, for comparisons with other frameworks."""
    import keras

    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def policy():
    """Sets a dtype policy, and sets the former one again."""
    import keras

    former = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(former)


SERVER = ForkServer()


def run(*command, cwd=ROOT, env=None, timeout=300, signals=(), fresh=False):
    """Runs `python COMMAND...` as a user would, and returns the finished process.

    Args:
        command, cwd, env, timeout: as for subprocess.run.
        signals: as for the `ForkServer`.
        fresh: start Python again, without TensorFlow.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"} | {"PYTHONPATH": str(ROOT)} | (env or {})
    arguments = list(map(str, command))
    if not fresh and (arguments[0].endswith(".py") or arguments[0] == "-m"):
        return SERVER.run(arguments, str(cwd), environment, timeout, signals)
    arguments = [sys.executable, *arguments]
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def in_process(*command, env=None):
    """Runs a command line like `run`, but in this process: for the logic of commands, where a process adds nothing."""
    from keras_resnet.commands import entry

    first, *arguments = map(str, command)
    name = first.removesuffix(".py")
    if first == "-m":
        _, name, *arguments = arguments
    output, errors, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in (os.environ | (env or {})).items():
            patch.setenv(variable, value)  # commands set variables for the libraries that they load
        patch.chdir(ROOT)
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                with entry.exits():
                    code = entry.call(name, arguments) or 0
            except SystemExit as end:
                code = end.code
    return subprocess.CompletedProcess(command, code, output.getvalue(), errors.getvalue())


@pytest.fixture
def cli():
    return run


TINY_RUN = ("train.epochs=null", "train.steps=4", "train.batch_size=16", "train.log_every=2", "train.eval_every=2")


@pytest.fixture
def tiny_run():
    """--set flags for a run of a few seconds."""
    return [f"--set={assignment}" for assignment in TINY_RUN]


def tiny_task(config):
    """Returns the task of a configuration with one block per stage: tests that train trace much and run little."""
    from dataclasses import replace

    from keras_resnet.task import load_task

    description = load_task(config).description
    return load_task(config, replace(description, spec=replace(description.spec, depths=(1, 1, 1))))


def once(tmp_path_factory, name, command):
    """The folder of a run that one test process makes and all read; `command(folder)` is a finished process."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a folder in that of the whole test run
        shared = shared.parent
    folder = shared / name / "run"
    with FileLock(shared / f"{name}.lock"):
        if not (folder / "results.json").exists():
            process = command(folder)
            assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a short run that train.py finished."""
    flags = [f"--set={assignment}" for assignment in TINY_RUN]
    return once(
        tmp_path_factory,
        "finished",
        lambda folder: run("train.py", "--strategy=mirrored", f"--workdir={folder}", *flags),
    )


EVERY_FORMAT = (
    "--formats=saved_model,litert,onnx",
    "--precision=float32,int8",
    "--set=export.min_top1_agreement=0.9",
)


@pytest.fixture(scope="session")
def finished_export(finished_run, tmp_path_factory):
    """The folder of an export of that run in every format: version 1. printed.txt and kit/ are beside it."""
    shared = tmp_path_factory.getbasetemp()
    output = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "exported" / "digits"
    output.parent.mkdir(exist_ok=True)
    with FileLock(output.parent / "lock"):
        if not output.exists():
            kit = f"--serving_kit={output.parent / 'kit'}"
            process = run("export.py", f"--workdir={finished_run}", f"--output={output}", kit, *EVERY_FORMAT)
            assert process.returncode == 0, process.stderr
            (output.parent / "printed.txt").write_text(process.stdout)
    return output


def cut_photographs(folder, count, low=40, high=90, seed=0):
    """Writes `count` JPEGs of random parts of each of scikit-learn's two photographs: folder/{china,a flower}/*."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    random = np.random.RandomState(seed)
    for photograph, name in zip(load_sample_images().images, ("china", "a flower"), strict=True):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            height, width = random.randint(low, high, 2)
            top, left = (
                random.randint(0, size - part) for size, part in zip(photograph.shape[:2], (height, width), strict=True)
            )
            part = Image.fromarray(photograph[top : top + height, left : left + width])
            part.save(folder / name / (f"{i:03d}.JPG" if i % 2 else f"no {i:03d}.jpeg"), quality=90)


def prepare_cifar10(folder, count):
    """Runs TensorFlow Datasets' own CIFAR-10 builder over `count` random images in each of the archive's six files.

    Only the download is replaced. The prepared set lies in folder/sets.

    Returns:
        pixels (6 count, 32, 32, 3) uint8, labels (6 count,) uint8; the test images are last.
    """
    import numpy as np
    import tensorflow_datasets as tfds

    random = np.random.RandomState(0)
    pixels = random.randint(0, 256, (6 * count, 3, 32, 32), np.uint8)
    labels = (np.arange(6 * count) % 10).astype(np.uint8)
    archive = folder / "cifar-10-batches-bin"
    archive.mkdir(parents=True)
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    (archive / "batches.meta.txt").write_text("\n".join(names) + "\n")
    for i, name in enumerate([f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]):
        rows = [bytes([labels[j]]) + pixels[j].tobytes() for j in range(count * i, count * (i + 1))]
        (archive / name).write_bytes(b"".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda self, url: str(folder))
        tfds.builder("cifar10", data_dir=str(folder / "sets")).download_and_prepare()
    return pixels.transpose(0, 2, 3, 1), labels


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of two classes of 60 small JPEGs, cut from real photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    cut_photographs(folder, 60)
    return folder


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory):
    """The folder of a run of the fault tests that nothing disturbed."""
    from faults_rig import train

    return once(tmp_path_factory, "whole", train)


@pytest.fixture
def figure(record_property):
    """Keeps a row for docs/reliability.md, which the end of the tests shows: figure("R2", "20 of 20 bit-identical")."""
    return lambda name, text: record_property("figure", f"{name:<4} {text}")


def pytest_terminal_summary(terminalreporter):
    """Shows the figures that the fault tests found."""
    reports = terminalreporter.getreports("passed")
    figures = [text for report in reports for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
    for text in sorted(set(figures), key=lambda text: (int(text[1:4]), text)):
        terminalreporter.line(text)
