"""Gates beside additions: highway nets at equal depth and at equal parameters, and what their gates do."""

from keras_resnet.analysis import degradation
from keras_resnet.analysis.study import Job, Measurement, Study, Training

SEEDS = 3  # of the study's; a gate makes a step half as long again


def trainings(study: Study, depth: int) -> list[Training]:
    """The runs of a highway net."""
    return degradation.trainings(study, "highway", depth)[:SEEDS]


def gate_measurements(study: Study) -> dict[int, Measurement]:
    """What the gates of each depth's first run do on the test images."""
    found = {}
    for depth in study.depths:
        first = trainings(study, depth)[0]
        arguments = (("network", first.network), ("seed", first.seed))
        function = "keras_resnet.analysis.highway:measure_gates"
        found[depth] = Measurement(function, arguments, (first,), False, 5 + depth / 5)
    return found


def jobs(study: Study) -> list[Job]:
    """The highway nets, the nets they are compared with, and their gates."""
    highway = [each for depth in study.depths for each in trainings(study, depth)]
    return [*degradation.jobs(study), *highway, *gate_measurements(study).values()]


def measure_gates(study: Study, network: str, seed: int) -> list[dict]:
    """A row per block of a trained net, see `keras_resnet.analysis.gates`."""
    from keras_resnet.analysis.gates import gates
    from keras_resnet.analysis.worker import images_of_test, trained_model
    from keras_resnet.task import load_task

    training = Training(network, seed)
    task = load_task(study.config_of(training))
    return gates(trained_model(task, study.folder(training)), images_of_test(task))
