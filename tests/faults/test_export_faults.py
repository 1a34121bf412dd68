"""Exports that are killed, polled, concurrent, or on a full disk; hostile images in requests (S1, S2, S5 to S8)."""

import json
import os
import random
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, run
from faults_rig import LONG

# Loads the highest version repeatedly, as TF Serving does; prints one line per load.
POLL = """
import os, sys, time
import tensorflow as tf
output, until = sys.argv[1], int(sys.argv[2])
last = loads = 0
print("ready", flush=True)
while last < until:
    time.sleep(0.01)
    version = max((int(name) for name in os.listdir(output) if name.isdecimal()), default=0)
    if version == last:
        continue
    assert version > last, f"{version} after {last}"
    folder = os.path.join(output, str(version))
    number = int(tf.saved_model.load(folder).signatures["serving_default"]()["number"])
    others = [folder + "/assets.extra/labels.txt"] + [f"{output}/litert/{version}{end}.tflite" for end in ("", "-int8")]
    assert [int(open(path).read()) for path in others] == [number] * 3, version
    last, loads = version, loads + 1
print(loads)
"""


PUBLISH = "tests/faults/publish_forever.py"


def start(*command):
    """Starts a Python process and captures its output."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    arguments = [sys.executable, *map(str, command)]
    return subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def versions(output):
    return sorted(int(name) for name in os.listdir(output) if name.isdecimal())


def leftovers(output):
    return [name for name in os.listdir(output) if name.startswith((".tmp", ".claim"))]


@pytest.mark.slow
def test_kill_while_exporting_leaves_only_complete_versions(tmp_path, figure):
    """Every visible version is complete after a kill; the next export removes the leftovers."""
    import tensorflow as tf

    times, kills = random.Random(0), 30 if LONG else 4
    (tmp_path / "litert").mkdir()
    for _ in range(kills):
        first = tmp_path / str(max(versions(tmp_path), default=0) + 1) / "saved_model.pb"
        signals = [(first, times.uniform(0, 0.3), signal.SIGKILL)]
        process = run(PUBLISH, tmp_path, 0, 10**6, signals=signals)
        assert process.returncode == -signal.SIGKILL, process.stderr
        for version in versions(tmp_path):
            number = int(tf.saved_model.load(str(tmp_path / str(version))).signatures["serving_default"]()["number"])
            for ending in ("", "-int8"):
                assert (tmp_path / "litert" / f"{version}{ending}.tflite").read_text() == str(number)
            assert (tmp_path / str(version) / "assets.extra" / "labels.txt").read_text() == str(number)
    last = run(PUBLISH, tmp_path, 7, 1)
    assert last.returncode == 0, last.stderr
    assert leftovers(tmp_path) == []
    there = versions(tmp_path)
    assert sorted(os.listdir(tmp_path / "litert")) == sorted(f"{v}{e}.tflite" for v in there for e in ("", "-int8"))
    figure("S1", f"{kills} kills, {len(there)} versions in sight, all whole")


# The moments of the kill in export.py: writing, converting, verifying, between renames, after the last rename.
POINTS = {
    "after the SavedModel": "export.saved_model:write_saved_model:after:1:kill",
    "after LiteRT": "export.litert:write_litert:after:1:kill",
    "before verifying": "export.export:verify_in_child:before:1:kill",
    "between the renames": "export.publishing:_show:before:3:kill",
    "after the last rename": "export.publishing:_show:after:3:kill",
}


@pytest.mark.skipif(not LONG, reason="make faults: half a minute for each point")
@pytest.mark.parametrize("point", POINTS)
def test_export_killed_at_a_point_publishes_nothing_incomplete(finished_run, tmp_path, figure, point):
    flags = ["export.py", f"--workdir={finished_run}", f"--output={tmp_path}"]
    process = run("tests/faults/fault_at.py", POINTS[point], *flags)
    assert process.returncode == -9, process.stderr
    assert versions(tmp_path) == ([1] if point == "after the last rename" else [])
    assert len(leftovers(tmp_path)) >= 1
    process = run(*flags)
    assert process.returncode == 0, process.stderr
    assert leftovers(tmp_path) == []
    there = versions(tmp_path)
    assert len(there) == (2 if point == "after the last rename" else 1)
    files = {f"{version}{batch}.tflite" for version in there for batch in ("", "-batch1")}
    assert set(os.listdir(tmp_path / "litert")) == files
    figure("S1", f"export.py killed {point}: nothing half in sight, removed by the next")


@pytest.mark.slow
def test_concurrent_exports_are_loadable_by_a_polling_server(tmp_path, figure):
    """Two exporters and a reader that polls every 10 ms: no load fails, and versions only grow."""
    each = 25 if LONG else 3
    reader = start("-c", POLL, tmp_path, 2 * each)
    reader.stdout.readline()
    exporters = [start(PUBLISH, tmp_path, 1000 * i, each) for i in (1, 2)]
    outputs = [exporter.communicate(timeout=300) for exporter in exporters]
    assert [exporter.returncode for exporter in exporters] == [0, 0], outputs
    stdout, stderr = reader.communicate(timeout=120)
    assert reader.returncode == 0, stderr
    assert versions(tmp_path) == list(range(1, 2 * each + 1))
    figure("S2", f"{2 * each} exports by two processes, {stdout.strip()} loads, 0 failed, 0 mixed")


FULL = ["saved_model:write_saved_model", "saved_model:write_warmup", "litert:write_litert"]


@pytest.mark.slow
@pytest.mark.parametrize("point", FULL if LONG else FULL[-1:])
def test_export_on_a_full_disk_publishes_nothing(finished_run, tmp_path, figure, point):
    """No file can grow beyond 100 kB from that point on: one line, exit code 5, no new visible file."""
    (tmp_path / "3").mkdir()
    fault = f"export.{point}:before:1:full"
    process = run("tests/faults/fault_at.py", fault, "export.py", f"--workdir={finished_run}", f"--output={tmp_path}")
    assert process.returncode == 5, process.stderr
    lines = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {tmp_path}: cannot be written (")
    assert lines[0].endswith("nothing was published")
    assert "Traceback" not in process.stderr
    assert versions(tmp_path) == [3]
    assert leftovers(tmp_path) == []
    figure("S8", f"no room in {point.partition(':')[2]}: exit code 5, one line, nothing published")


@pytest.mark.slow
def test_export_refuses_an_existing_version(finished_run, tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "saved_model.pb").write_text("somebody's")
    process = run("export.py", f"--workdir={finished_run}", f"--output={tmp_path}", "--version=3")
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1] == (
        f"error: --version=3: already exists, in {tmp_path}; 4 would be the next"
    )
    assert (tmp_path / "3" / "saved_model.pb").read_text() == "somebody's"
    assert leftovers(tmp_path) == []


# A classifier of 64 x 64 images with a trivial network, exported in the usual way.
EXPORT = """
import sys
import tensorflow as tf
from keras_resnet.classification.signatures import classification_signatures
from keras_resnet.config import Export
from keras_resnet.description import Description, Preprocessing
from keras_resnet.export.saved_model import write_saved_model
from keras_resnet.specs import SPECS
def network(images):
    pooled = tf.reduce_mean(images, (1, 2))
    return {"logits": pooled / 50, "features": pooled}
preprocessing = Preprocessing(image_size=64, channels=3, crop_pct=0.875)
labels = ("red", "green", "blue")
description = Description(spec=SPECS["cifar_resnet20"], preprocessing=preprocessing, labels=labels)
write_saved_model(classification_signatures(network, description, Export()), sys.argv[1], description)
"""


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors") / "1"
    process = run("-c", EXPORT, folder)
    assert process.returncode == 0, process.stderr
    return folder


def hostile(folder, *arguments):
    """Runs hostile_images.py, which does not import this package, on an exported model."""
    script = ROOT / "tests" / "faults" / "hostile_images.py"
    process = subprocess.run(
        [sys.executable, "-I", str(script), str(folder), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=580,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
def test_server_gives_a_status_for_every_mutated_image(colors, figure):
    """Every row has a status; memory stays bounded; valid images in the batch get unchanged scores."""
    count = 5000 if LONG else 200
    found = hostile(colors, count)
    assert found["rows"] == count
    assert found["statuses"]["OK"] + sum(n for s, n in found["statuses"].items() if s != "OK") == count
    assert found["statuses"]["OK"] > 0
    assert len(found["statuses"]) >= 4
    assert found["worst_neighbour"] <= 1e-5
    assert found["grown_mib"] < 256
    figure(
        "S5",
        f"{count} mutated images of {found['seeds']} kinds: 0 crashes, {found['statuses']['OK']} read, memory "
        f"+{found['grown_mib']:.0f} MiB, p99 {found['p99_ms']:.0f} ms",
    )
    figure(
        "S6", f"good rows beside bad ones in {found['batches']} batches of 32: within {found['worst_neighbour']:.0e}"
    )


@pytest.mark.slow
def test_export_refuses_failing_warmup_requests(colors, tmp_path, figure):
    """Requests are replayed before publishing: TF Serving does not load a version whose requests fail."""
    import shutil

    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    from keras_resnet.export.loaders.saved_model import replay
    from keras_resnet.export.saved_model import FILE, write_warmup

    folder = tmp_path / "1"
    shutil.copytree(colors, folder)
    assert write_warmup(str(folder), (1, 3), (64, 64, 3)) == 8
    assert replay(str(folder)) == 8
    path = folder / FILE
    good = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]

    def spoil(change):
        log = PredictionLog.FromString(good[-1])
        change(log.predict_log.request)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in (*good, log.SerializeToString()):
                writer.write(record)

    def other_input(request):
        request.inputs["pictures"].CopyFrom(tf.make_tensor_proto([b"x"]))

    def bad_image(request):
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([b"x"]))

    for change in (other_input, bad_image, lambda request: setattr(request.model_spec, "signature_name", "nobody's")):
        spoil(change)
        with pytest.raises((ValueError, TypeError, KeyError)):
            replay(str(folder))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(tf.errors.DataLossError):
        replay(str(folder))
    figure("S7", "4 kinds of bad warm-up requests, none passes the replay")
