"""Every mistake in a configuration gives one line and exit code 2, before TensorFlow is loaded (R15)."""

import time

import pytest
from conftest import ROOT, run
from faults_rig import LONG
from test_config import BAD_FILES

MISTAKES = list(BAD_FILES.items())


@pytest.mark.slow
@pytest.mark.parametrize("mistakes", [MISTAKES] if LONG else [MISTAKES[:3]])
def test_wrong_configuration_gives_one_line_and_exit_code_2(tmp_path, figure, mistakes):
    (tmp_path / "tensorflow.py").write_text("raise AssertionError('TensorFlow was imported')")
    path, slowest = tmp_path / "c.yaml", 0.0
    for text, message in mistakes:
        path.write_text(text)
        began = time.monotonic()
        env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
        process = run(ROOT / "train.py", f"--config={path}", cwd=tmp_path, env=env, fresh=True)
        slowest = max(slowest, time.monotonic() - began)
        assert process.returncode == 2, text
        assert process.stderr.count("\n") == 1, process.stderr
        assert message in process.stderr, process.stderr
    figure("R15", f"{len(mistakes)} of {len(mistakes)} in one line with exit code 2, the slowest after {slowest:.1f} s")
