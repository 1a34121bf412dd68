"""The manifests under deploy/ are valid. The tests need no cluster: they check the commands that the manifests run."""

import json
import os
import re
import subprocess

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from keras_resnet.config import load_config
from keras_resnet.config.recipes import find_recipe
from keras_resnet.errors import INTERNAL_ERROR, ConfigError, DataError, DiskError, DivergenceError, LostWorkerError
from keras_resnet.training.cluster import check_cluster, in_slurm


@pytest.fixture
def manifest():
    """Returns the Kubernetes service and job."""
    return list(YAML(typ="safe").load_all((ROOT / "deploy/kubernetes/train.yaml").read_text()))


def test_kubernetes_tf_config_names_every_worker(manifest, monkeypatch):
    service, job = manifest
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {each["name"]: each for each in container["env"]}
    assert list(env).index("WORKER") < list(env).index("TF_CONFIG")  # Kubernetes expands only variables defined above
    for index in range(job["spec"]["completions"]):
        text = env["TF_CONFIG"]["value"].replace("$(WORKER)", str(index))
        monkeypatch.setenv("TF_CONFIG", text)
        check_cluster()
        workers = json.loads(text)["cluster"]["worker"]
        host, port = workers[index].split(":")
        assert host == f"{job['metadata']['name']}-{index}.{pod['subdomain']}"
        assert int(port) == container["ports"][0]["containerPort"]
    assert len(workers) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}


def test_kubernetes_does_not_restart_after_final_exit_codes(manifest):
    final = manifest[1]["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert final == [error.exit_code for error in (ConfigError, DataError, DivergenceError, DiskError)] + [
        INTERNAL_ERROR
    ]
    assert LostWorkerError.exit_code not in final


def test_kubernetes_command_is_valid(manifest, cli):
    script, *flags = manifest[1]["spec"]["template"]["spec"]["containers"][0]["args"]
    config = next(flag for flag in flags if flag.startswith("--config=")).split("=")[1]
    load_config(find_recipe(config))
    process = cli(script, *flags, "--print_config", env={"TF_CONFIG": json.dumps(CLUSTER)}, fresh=True)
    assert process.returncode == 0, process.stderr
    assert "directory: /data" in process.stdout


CLUSTER = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}


@pytest.mark.parametrize(("code", "again"), [(0, False), (2, False), (4, False), (6, True), (70, False), (143, True)])
def test_slurm_requeues_only_after_recoverable_exit_codes(tmp_path, code, again):
    (tmp_path / "srun").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/ran\nexit {code}\n')
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/requeued\n')
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    script = ROOT / "deploy/slurm/train.sbatch"
    process = subprocess.run(["bash", script, "--set=train.seed=1"], env=env, check=False)
    assert process.returncode == code
    ran = (tmp_path / "ran").read_text()
    config = re.search(r"--config=(\S+)", ran)[1]
    load_config(find_recipe(config))
    assert ran.startswith("--kill-on-bad-exit=1 .venv/bin/python train.py --strategy=multi_worker ")
    assert ran.endswith("--set=train.seed=1\n")
    assert (tmp_path / "requeued").exists() == again


def test_in_slurm_detects_its_environment_variables(monkeypatch):
    for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert not in_slurm()
    with pytest.raises(ConfigError, match="TF_CONFIG is not set, and this is no task of SLURM's srun"):
        check_cluster()
    for name in ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"):
        monkeypatch.setenv(name, "1")
    check_cluster()
    monkeypatch.setenv("TF_CONFIG", json.dumps(CLUSTER))
    assert not in_slurm()  # TF_CONFIG of the user has priority
