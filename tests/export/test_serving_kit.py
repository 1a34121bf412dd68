"""The serving kit, tested without TF Serving: the files that a server reads, and the requests that clients send."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, run
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from PIL import Image
from ruamel.yaml import YAML
from tensorflow_serving.config import model_server_config_pb2

from keras_resnet.errors import ConfigError
from keras_resnet.export.serving_kit import TEMPLATES, write_serving_kit

# Messages missing from tensorflow-serving-api's wheel: (field, number, type), from tensorflow/serving's
# servables/tensorflow/session_bundle_config.proto and config/monitoring_config.proto.
INT64, BOOL, STRING, MESSAGE = 3, 8, 9, 11
MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, ".google.protobuf.Int64Value"),
        ("batch_timeout_micros", 2, ".google.protobuf.Int64Value"),
        ("max_enqueued_batches", 3, ".google.protobuf.Int64Value"),
        ("num_batch_threads", 4, ".google.protobuf.Int64Value"),
        ("thread_pool_name", 5, ".google.protobuf.StringValue"),
        ("allowed_batch_sizes", 6, [INT64]),
        ("pad_variable_length_inputs", 7, BOOL),
    ],
    "PrometheusConfig": [("enable", 1, BOOL), ("path", 2, STRING)],
    "MonitoringConfig": [("prometheus_config", 1, ".tensorflow.serving.PrometheusConfig")],
}


@pytest.fixture(scope="module")
def kit(finished_export, tmp_path_factory):
    """Returns a kit for the digits' export."""
    folder = tmp_path_factory.mktemp("kit")
    write_serving_kit(str(finished_export), str(folder), "digits")
    return folder


@pytest.fixture(scope="module")
def messages():
    """Returns {name: class} of the server's messages that no wheel has."""
    file = descriptor_pb2.FileDescriptorProto(name="server.proto", package="tensorflow.serving", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            repeated, kind = isinstance(kind, list), kind[0] if isinstance(kind, list) else kind
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                added.type, added.type_name = MESSAGE, kind
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in MESSAGES
    }


def test_kit_has_every_file_without_placeholders(kit):
    assert sorted(os.listdir(kit)) == sorted(path.name for path in TEMPLATES.iterdir() if path.is_file())
    for path in kit.iterdir():
        assert not re.search(r"@[A-Z_]+@", path.read_text()), path
        assert os.access(path, os.X_OK) == (path.suffix == ".sh"), path


def test_models_config_parses_with_the_official_stubs(kit):
    text = (kit / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("digits", "/models/digits", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1


def test_models_config_with_uncommented_rollback_parses(kit):
    """An operator removes the comment signs to roll back to an earlier version."""
    text = (kit / "models.config").read_text().replace("    model_version_policy { latest { num_versions: 1 } }", "")
    text = re.sub(r"# (model_version_policy|version_labels)", r"\1", text)
    (model,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}


def test_batching_parameters_are_bounded(kit, messages):
    text = (kit / "batching_parameters.txt").read_text()
    batching = text_format.Parse(text, messages["BatchingParameters"]())
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == batching.max_batch_size.value
    assert 1 <= batching.max_enqueued_batches.value <= 1000
    assert batching.num_batch_threads.value >= 1


def test_monitoring_config_enables_prometheus(kit, messages):
    text = (kit / "monitoring.config").read_text()
    prometheus = text_format.Parse(text, messages["MonitoringConfig"]()).prometheus_config
    assert prometheus.enable
    assert prometheus.path in (kit / "smoke_test.sh").read_text()


def test_compose_is_read_only_and_listens_on_localhost(kit, finished_export):
    service = YAML(typ="safe").load(kit / "docker-compose.yml")["services"]["serving"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert all(volume["read_only"] for volume in service["volumes"])
    assert service["volumes"][0]["source"] == str(finished_export)
    assert service["volumes"][0]["target"] == "/models/digits"
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert int(service["user"].split(":")[0]) > 0
    files = re.findall(r"=/config/(\S+)", "\n".join(service["command"]))
    assert len(files) == 3
    for name in files:
        assert (kit / name).is_file()


def test_compose_keeps_special_characters_of_the_folder(tmp_path):
    folder = tmp_path / 'a "b" $HOME: # c'
    write_serving_kit(str(folder), str(tmp_path / "kit"), "m")
    service = YAML(typ="safe").load(tmp_path / "kit" / "docker-compose.yml")["services"]["serving"]
    assert service["volumes"][0]["source"].replace("$$", "$") == str(folder)


@pytest.mark.parametrize("name", ["predict.sh", "smoke_test.sh"])
def test_shell_scripts_have_valid_syntax(kit, name):
    subprocess.run(["sh", "-n", str(kit / name)], check=True)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../up", "x:predict", "a\nb"])
def test_kit_refuses_model_names_invalid_in_urls(tmp_path, name):
    with pytest.raises(ConfigError, match="expected letters, digits"):
        write_serving_kit("out", str(tmp_path / "kit"), name)
    assert not (tmp_path / "kit").exists()


def test_kit_refuses_to_replace_differing_files(kit, finished_export):
    write_serving_kit(str(finished_export), str(kit), "digits")  # the same again
    before = {path: path.read_bytes() for path in kit.iterdir()}
    with pytest.raises(ConfigError, match=r"already exists and differs; name another folder"):
        write_serving_kit(str(finished_export), str(kit), "other")
    assert {path: path.read_bytes() for path in kit.iterdir()} == before


@pytest.fixture(scope="module")
def served(kit, finished_export):
    """Returns {"grpc": port, "rest": port} of a process without this package that serves the export."""
    limit = re.search(r"max_batch_size { value: (\d+) }", (kit / "batching_parameters.txt").read_text())[1]
    stand_in = ROOT / "tests" / "export" / "serving_stand_in.py"
    command = [sys.executable, stand_in, finished_export / "1", "digits", limit]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    yield json.loads(process.stdout.readline())
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Returns digits and a photograph too long for a command line; more than one request takes."""
    folder = tmp_path_factory.mktemp("pictures")
    names = run("-m", "keras_resnet", "sample-images", "digits", "--count=16", f"--output={folder}").stdout.split()
    noise = np.random.RandomState(0).randint(0, 256, (300, 300, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "large.png")
    assert (folder / "large.png").stat().st_size > 200_000
    return [*names, str(folder / "large.png")]


def answers(text):
    """Reads JSON documents that follow one another."""
    found, text = [], text.lstrip()
    while text:
        document, end = json.JSONDecoder().raw_decode(text)
        found, text = [*found, document], text[end:].lstrip()
    return found


@pytest.mark.slow
def test_clients_give_the_predictions_of_predict(kit, served, finished_export, pictures):
    """gRPC with the official stubs, REST and curl give the labels and scores of predict."""
    expected = json.loads(run("-m", "keras_resnet", "predict", finished_export, *pictures, "--format=json").stdout)
    hosts = {"client_grpc.py": served["grpc"], "client_rest.py": served["rest"]}
    found = {}
    for client, port in hosts.items():
        process = run(kit / client, f"--host=localhost:{port}", *pictures)
        assert process.returncode == 0, process.stderr
        found[client] = answers(process.stdout)
    environment = os.environ | {"HOST": f"localhost:{served['rest']}"}
    process = subprocess.run(
        [kit / "predict.sh", *pictures], capture_output=True, text=True, check=True, env=environment
    )
    found["predict.sh"] = [row for document in answers(process.stdout) for row in document["predictions"]]
    assert len(answers(process.stdout)) == 3  # requests of 8 at most
    for client, rows in found.items():
        assert len(rows) == len(expected) == 17, client
        for row, entry in zip(rows, expected, strict=True):
            assert row["labels"] == [each["label"] for each in entry["predictions"]], client
            assert row["classes"] == [each["class"] for each in entry["predictions"]], client
            assert row["scores"] == pytest.approx([each["score"] for each in entry["predictions"]], rel=1e-4), client


@pytest.mark.slow
@pytest.mark.parametrize("client", ["client_grpc.py", "client_rest.py"])
def test_clients_print_the_error_of_the_server(kit, served, pictures, client):
    port = served["grpc" if "grpc" in client else "rest"]
    process = run(kit / client, f"--host=localhost:{port}", "--model=another", pictures[0])
    assert process.returncode == 1
    assert "Servable not found" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_smoke_test_passes_with_a_running_server(kit, served, pictures):
    ports = {"REST_PORT": str(served["rest"]), "GRPC_PORT": str(served["grpc"])}
    environment = os.environ | ports | {"SERVER": "running", "PYTHON": sys.executable}
    command = [kit / "smoke_test.sh", *pictures]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.splitlines()[-1] == "passed"


@pytest.mark.slow
def test_smoke_test_fails_without_a_server(kit, pictures):
    environment = os.environ | {
        "DOCKER_HOST": "tcp://localhost:1",
        "PYTHON": sys.executable,
    }
    command = [kit / "smoke_test.sh", *pictures]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert process.returncode == 1
    assert "FAILED: docker compose is not there" in process.stderr
