"""What export.py does: read a run, rebuild its network, export and verify."""

import os

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.errors import ConfigError


def export(workdir: str | None, output: str | None, checkpoint: str = "best") -> None:
    """Exports the weights that a run's folder holds; see export.py's flags.

    Raises:
        UserError: the folder holds no run, not these weights, or the artifacts do not agree.
    """
    require_tensorflow_backend()
    if not workdir or not output:
        name = "output" if workdir else "workdir"
        example = "python export.py --workdir=runs/latest --output=exports/digits"
        raise ConfigError(f"--{name} is missing; for example: {example}")
    if not os.path.isfile(os.path.join(workdir, "config.yaml")):
        raise ConfigError(f"--workdir={workdir}: no run lies there (there is no config.yaml); train.py makes one")

    from keras_resnet.commands.runs import load_run
    from keras_resnet.export.export import export_model

    run = load_run(workdir, checkpoint)
    if not run.finished:
        print(f"WARNING: the run is not finished; exporting step {run.step:,} of {run.task.config.train.total_steps:,}")
    provenance = {
        "network": run.task.config.model.name,
        "data": run.task.config.data.name,
        "run": os.path.realpath(workdir),
        "checkpoint": checkpoint,
        "step": run.step,
    }
    report = export_model(run.task, run.model, output, provenance, tell=lambda line: print(f"  {line}", flush=True))
    print(f"Exported {provenance['network']} ({checkpoint}, step {run.step:,}) as version {report['version']}")
    for name, check in report["parity"].items():
        agreement = f"relative error {check['relative_error']:.1e}, allowed {check['tolerance']:.0e}"
        print(f"  {name:<11}  {report['paths'][name]}  ({agreement})")
    serving = f"--model_name={provenance['network']} --model_base_path={os.path.abspath(output)}"
    print(f"\nNext: python -m keras_resnet predict {output} IMAGE...")
    print(f"      tensorflow_model_server --rest_api_port=8501 {serving}")
