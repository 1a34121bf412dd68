import os
import pathlib
import subprocess
from dataclasses import replace

import pytest

from keras_resnet import __version__
from keras_resnet.commands.train import _started
from keras_resnet.config import Config, Model
from keras_resnet.description import Description, Preprocessing
from keras_resnet.errors import ConfigError, DataError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS

DESCRIPTION = Description(
    spec=SPECS["cifar_resnet20"], preprocessing=Preprocessing(image_size=8, channels=1), labels=("cat", "dog")
)


def config(**train):
    return Config.model_validate({"train": {"steps": 1} | train})


def test_default_folder_name_has_recipe_and_digest():
    path = RunFolder.default("configs/digits/resnet20.yaml", config()).path
    assert path == os.path.join("runs", f"digits-resnet20-{config().digest()}")
    assert path != RunFolder.default("configs/digits/resnet20.yaml", config(seed=1)).path


def test_claim_by_the_same_run_twice(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    folder.claim(config(), DESCRIPTION)
    assert folder.read_config() == config()


def begun(folder, name="metrics.jsonl"):
    """Stores something of the run in the folder."""
    path = pathlib.Path(folder.path, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}\n")


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "weights/best.safetensors", "checkpoints/step-00000010/state.json", "results.json"]
)
def test_claim_by_another_run_names_the_first_difference(tmp_path, name):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    begun(folder, name)
    with pytest.raises(ConfigError, match=r"holds another run: train.seed is 0 there and 1 here"):
        folder.claim(config(seed=1), DESCRIPTION)


def test_claim_replaces_a_run_that_failed_before_its_first_metrics(tmp_path):
    """Its checkpoint of step 0 would give the new run its weights."""
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    begun(folder, "checkpoints/step-00000000/state.json")
    (tmp_path / "run" / "metrics.jsonl").touch()
    folder.claim(config(), DESCRIPTION)
    assert os.listdir(folder.checkpoints) == ["step-00000000"]
    other = replace(DESCRIPTION, labels=("cat", "hound"))
    folder.claim(config(seed=1), other)
    assert (folder.read_config(), folder.read_description()) == (config(seed=1), other)
    assert os.listdir(folder.checkpoints) == []


def test_claim_with_other_class_names_is_refused(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    begun(folder)
    assert folder.read_description() == DESCRIPTION
    with pytest.raises(DataError, match=r'are not those of the run: "cat", "hound" \(2\), not "cat", "dog" \(2\)'):
        folder.claim(config(), replace(DESCRIPTION, labels=("cat", "hound")))


def test_claim_accepts_changed_keys_that_affect_no_weight(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    for train in ({"log_every": 7}, {"log_every": 7, "keep_checkpoints": 5}, {"wandb_project": "mine"}):
        folder.claim(config(**train), DESCRIPTION)
        assert folder.read_config() == config(**train)
    (tmp_path / "run" / "results.json").write_text('{"steps": 1, "validation": {}, "best": {}, "seconds": 1}')
    folder.claim(config(log_every=9), DESCRIPTION)
    assert folder.read_config() == config(wandb_project="mine")  # the value when it finished


@pytest.mark.parametrize(
    "train", [{"checkpoint_every": 2}, {"eval_every": 2}, {"ema_decay": 0.5}, {"early_stopping_patience": 2}]
)
def test_claim_refuses_changed_keys_that_affect_weights(tmp_path, train):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    begun(folder)
    with pytest.raises(ConfigError, match=f"holds another run: train.{next(iter(train))} is "):
        folder.claim(config(**train), DESCRIPTION)
    assert folder.read_config() == config()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "named"), [((), None), (("best",), "best"), (("best", "last"), "last")], ids=["none", "best", "last"]
)
def test_claim_refusal_names_existing_weights(tmp_path, there, named):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    begun(folder)
    for name in there:
        (tmp_path / "run" / "weights" / f"{name}.safetensors").touch()
    helps = f"; there, --set=model.weights={folder.path}/weights/{named}.safetensors starts from its weights"
    with pytest.raises(ConfigError) as caught:
        folder.claim(config(batch_size=64), DESCRIPTION)
    assert str(caught.value).endswith("or omit --workdir" + (helps if named else ""))
    for other in (config(seed=1), config().model_copy(update={"model": Model(name="resnet50")})):
        with pytest.raises(ConfigError, match=r"or omit --workdir$"):
            folder.claim(other, DESCRIPTION)


def test_claim_refusal_tells_how_to_link_a_moved_data_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def on(path):
        return Config.model_validate({"data": {"name": f"folder:{path}"}, "train": {"steps": 1}})

    os.mkdir("new photos")
    folder = RunFolder("run")
    folder.claim(on("photos"), DESCRIPTION)
    begun(folder)
    with pytest.raises(ConfigError) as caught:
        folder.claim(on("new photos"), DESCRIPTION)
    refusal, _, command = str(caught.value).rpartition(": ")
    assert refusal.endswith("; if photos was moved, leave data.name as it was and link it")
    subprocess.run(command, shell=True, check=True)
    assert os.path.samefile("photos", "new photos")
    with pytest.raises(ConfigError, match=r"or omit --workdir$"):  # it is there: another set
        folder.claim(on("new photos"), DESCRIPTION)


@pytest.mark.parametrize(
    ("there", "line"),
    [
        (("seed: 0", "stepz: 1"), "{path}:{n}: train.stepz: unknown key"),
        (("schedule: step", "schedule: later"), '{path}:{n}: train.schedule: got "later"; expected one of '),
    ],
    ids=["key", "value"],
)
def test_read_config_names_the_version_of_an_unknown_key(tmp_path, there, line):
    """The key is not a typing error: the message names the version that knows it and suggests nothing."""
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    written = (tmp_path / "run" / "config.yaml").read_text().replace(*there)
    (tmp_path / "run" / "config.yaml").write_text(written)
    number = 1 + [each.strip() for each in written.splitlines()].index(there[1])
    expected = line.format(path=folder.config, n=number)
    with pytest.raises(ConfigError) as caught:
        folder.read_config()
    assert str(caught.value).startswith(expected)
    assert "written by" not in str(caught.value)  # written by this version and then edited
    (tmp_path / "run" / "environment.json").write_text('{"keras_resnet": "0.9.0"}')
    with pytest.raises(ConfigError) as caught:
        folder.read_config()
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith(f"; written by keras_resnet 0.9.0; this is {__version__}")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("environment", ["", "[]", "{}"])
def test_read_config_with_a_damaged_environment_file(tmp_path, environment):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    (tmp_path / "run" / "environment.json").write_text(environment)
    assert folder.read_config() == config()


def test_claim_records_the_version_when_it_rewrites_config(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.claim(config(), DESCRIPTION)
    (tmp_path / "run" / "environment.json").write_text('{"keras_resnet": "0.0.9"}')
    folder.claim(config(), DESCRIPTION)
    assert folder.read_environment()["keras_resnet"] == "0.0.9"
    folder.claim(config(log_every=7), DESCRIPTION)
    assert folder.read_environment()["keras_resnet"] == __version__


def test_claim_of_a_folder_without_run_changes_nothing(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="not empty and holds no run"):
        RunFolder(str(tmp_path)).claim(config(), DESCRIPTION)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match="contains no run"):
        RunFolder(str(tmp_path)).read_config()


def test_claim_continues_an_interrupted_claim(tmp_path):
    """A process that was killed while it made the folder must not block the run."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "environment.json").write_text("{}")
    (tmp_path / "config.yaml.tmp-7").write_text("tas")
    RunFolder(str(tmp_path)).claim(config(), DESCRIPTION)
    assert RunFolder(str(tmp_path)).read_config() == config()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[]"])
def test_read_results_of_a_damaged_file_is_none(tmp_path, text):
    folder = RunFolder(str(tmp_path))
    folder.claim(config(), DESCRIPTION)
    (tmp_path / "results.json").write_text(text)
    assert folder.read_results() is None


def test_claim_of_an_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        RunFolder(str(tmp_path / "file" / "run")).claim(config(), DESCRIPTION)


def test_point_latest_links_to_the_newest_run(tmp_path):
    for name in ("one", "two"):
        folder = RunFolder(str(tmp_path / name))
        folder.claim(config(), DESCRIPTION)
        folder.point_latest()
    assert os.path.realpath(tmp_path / "latest") == str(tmp_path / "two")


def test_started_finds_default_folders_of_a_recipe(tmp_path, monkeypatch):
    """A run that started from a weight file may then resume when that file is gone."""
    monkeypatch.chdir(tmp_path)
    path = "configs/digits/resnet20.yaml"
    assert not _started(None, path)
    os.makedirs(RunFolder.default(path, config()).path)
    assert _started(None, path)
    assert not _started(None, "configs/digits/other.yaml")
    assert not _started("elsewhere", path)


def test_clean_up_removes_leftovers_of_crashes(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    folder.make()
    for name in ("weights/best.safetensors.tmp-host-1", "metrics.jsonl.tmp-host-1", "metrics.jsonl"):
        (tmp_path / "run" / name).touch()
    folder.clean_up()
    left = sorted(str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*"))
    assert left == ["checkpoints", "metrics.jsonl", "weights"]
