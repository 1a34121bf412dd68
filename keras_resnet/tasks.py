"""Defines the table of tasks, a row each. Imports nothing: tasks are imported when they are used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskRow:
    """A learning task. Classes and tables are named as "module:name".

    Attributes:
        task: the implementation of the `Task` protocol.
        config: the class of its configurations, `keras_resnet.config.Config` or a subclass.
        build: description -> the model, without weights; loading a run calls it, which needs no data set.
        metrics: its table of metrics, {name: `keras_resnet.task.Metric`}, in a module that imports no TensorFlow.
        evaluation: what `keras-resnet evaluate` does; the default evaluates one network.
        protocols: names that its --protocol accepts, the default first.
        scaled_protocols: those of them that take --scales.
        refines: whether its evaluation takes --refine.
        predictor: the `Predictor` of its models in memory, made from (model, labels, preprocessing, source); None for a
            task whose models do not predict.
        export: the form of its models that `export_model` takes, made from (description, settings, images); None for a
            task whose models cannot be exported.
        findings: (task, model, newest metrics) -> lines about results of a finished training that need attention; None
            for a task without.
        pipeline_tag: the Hugging Face Hub's name for the task, in model cards.
    """

    task: str
    config: str
    metrics: str
    build: str = "keras_resnet.builder:build_described"
    evaluation: str = "keras_resnet.training.evaluation:Evaluation"
    protocols: tuple[str, ...] = ("single",)
    scaled_protocols: tuple[str, ...] = ()
    refines: bool = False
    predictor: str | None = None
    export: str | None = None
    findings: str | None = None
    pipeline_tag: str = "other"


DEFAULT_TASK = "classification"
TASKS = {
    "classification": TaskRow(
        task="keras_resnet.classification.task:Classification",
        config="keras_resnet.config:Config",
        metrics="keras_resnet.classification.metrics:METRICS",
        evaluation="keras_resnet.classification.evaluation:Evaluation",
        protocols=("single", "ten_crop", "multi_scale"),
        scaled_protocols=("multi_scale",),
        predictor="keras_resnet.inference.keras_model:KerasPredictor",
        export="keras_resnet.classification.signatures:ClassifierExport",
        findings="keras_resnet.classification.diagnosis:findings",
        pipeline_tag="image-classification",
    ),
    "detection": TaskRow(
        task="keras_resnet.detection.task:Detection",
        config="keras_resnet.config.detection:DetectionConfig",
        metrics="keras_resnet.detection.metrics:METRICS",
        build="keras_resnet.detection.detector:build_detector",
        evaluation="keras_resnet.detection.evaluation:Evaluation",
        protocols=("coco", "voc07", "voc12", "imagenet_det"),
        scaled_protocols=("coco", "voc07", "voc12", "imagenet_det"),
        refines=True,
        predictor="keras_resnet.detection.predictor:DetectionPredictor",
        export="keras_resnet.detection.signatures:DetectorExport",
        pipeline_tag="object-detection",
    ),
    "localization": TaskRow(
        task="keras_resnet.localization.task:Localization",
        config="keras_resnet.config.localization:LocalizationConfig",
        metrics="keras_resnet.localization.metrics:METRICS",
        build="keras_resnet.localization.localizer:build_localizer",
        evaluation="keras_resnet.localization.evaluation:Evaluation",
        protocols=("single", "dense"),
        scaled_protocols=("dense",),
        predictor="keras_resnet.localization.predictor:LocalizationPredictor",
        export="keras_resnet.localization.signatures:LocalizerExport",
        pipeline_tag="object-detection",
    ),
    "multilabel": TaskRow(
        task="keras_resnet.multilabel.task:Multilabel",
        config="keras_resnet.config.multilabel:MultilabelConfig",
        metrics="keras_resnet.multilabel.metrics:METRICS",
        evaluation="keras_resnet.multilabel.evaluation:Evaluation",
        predictor="keras_resnet.inference.keras_model:KerasPredictor",
        export="keras_resnet.multilabel.signatures:MultilabelExport",
        pipeline_tag="image-classification",
    ),
}
