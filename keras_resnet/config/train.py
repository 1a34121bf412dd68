"""The configuration groups `train` and `recovery`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from keras_resnet.config.fields import Group, choice_of, problem
from keras_resnet.config.labels import ClassWeights
from keras_resnet.losses import LOSSES
from keras_resnet.optimizers import OPTIMIZERS, OPTIONS
from keras_resnet.schedules import SCHEDULES


class Train(Group):
    """The optimization. Durations are in optimizer steps."""

    steps: int | None = Field(None, ge=1, le=10**9, description="Total number of optimizer steps. Give this or epochs.")
    epochs: float | None = Field(None, gt=0, le=10**6, description="Passes over the training images.")
    batch_size: int = Field(128, ge=1, le=10**6, description="Images per step, over all replicas.")
    learning_rate: float = Field(0.1, ge=0, description="Peak learning rate. 0: no learning, as a control.")
    base_batch_size: int | None = Field(
        None, ge=1, description="Linear scaling: the batch size that learning_rate is for. null: batch_size."
    )
    schedule: choice_of(SCHEDULES) = Field(  # type: ignore[valid-type]
        "step", description=" ".join(f"{name}: {row.text}." for name, row in SCHEDULES.items())
    )
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75),
        strict=False,
        description="For schedule: step, the fractions of the steps at which the learning rate decreases.",
    )
    warmup_steps: int = Field(0, ge=0, description="Steps in which the learning rate grows linearly to its peak.")
    warmup_learning_rate: float | None = Field(
        None, gt=0, description="Constant learning rate during the warm-up, as in the paper's ResNet-110. null: linear."
    )
    warmup_start_factor: float | None = Field(
        None, ge=0, lt=1, description="Share of the peak that the linear warm-up begins with. null: 1 / warmup_steps."
    )
    optimizer: choice_of(OPTIMIZERS) = Field(  # type: ignore[valid-type]
        "sgd", description=" ".join(f"{name}: {row.text}." for name, row in OPTIMIZERS.items())
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="Momentum of sgd, lars and muon. Jordan et al. have 0.95 for muon."
    )
    betas: tuple[Annotated[float, Field(gt=0, lt=1)], ...] | None = Field(
        None,
        strict=False,
        description="adamw, lamb, lion and muon: decay of the two means. null: [0.9, 0.999]; lion: [0.9, 0.99].",
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        le=1,
        description="adamw, lamb and muon: added to the root of the mean square. null: 1e-7; lamb: 1e-6.",
    )
    trust_coefficient: float | None = Field(
        None, gt=0, le=1, description="lars: ratio of the norms of step and weight at learning rate 1. null: 0.001."
    )
    weight_decay: float = Field(
        1e-4,
        ge=0,
        description="Weight decay: L2 in the gradient with sgd and lars, as in the papers; apart from it with "
        "the others.",
    )
    weight_decay_on: Literal["kernels", "all"] = Field(
        "kernels", description="kernels: without biases and normalization. all: as in the paper's Caffe networks."
    )
    loss: choice_of(LOSSES) = Field(  # type: ignore[valid-type]
        "cross_entropy", description=" ".join(f"{name}: {row.text}." for name, row in LOSSES.items())
    )
    target_threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="binary_cross_entropy: classes of mixed images whose share is above it have target 1, others 0. "
        "null: the shares are the targets.",
    )
    focal_gamma: float = Field(2.0, ge=0, le=10, description="focal: exponent of (1 - probability).")
    teacher: str | None = Field(
        None,
        description="Distillation from a trained network (Hinton et al. 2015): a run's folder, weights as for "
        "model.weights, or an exported SavedModel. null: none.",
    )
    teacher_weight: float = Field(0.5, gt=0, le=1, description="Share of the teacher in the loss.")
    teacher_temperature: float = Field(
        1.0, gt=0, le=1000, description="Number that the logits of teacher and student are divided by."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target that is spread over all classes.")
    global_clipnorm: float | None = Field(
        None, gt=0, description="Largest norm of the gradient over all weights. null: no clipping."
    )
    sam_rho: float = Field(
        0.0,
        ge=0,
        description="Sharpness-aware minimization (Foret et al. 2021): norm of the step to the weights at which the "
        "gradient is computed, at twice the cost. 0: none.",
    )
    gradient_accumulation_steps: int = Field(
        1, ge=1, description="Number of sequential parts in which a replica computes its batch, to save memory."
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights, which is evaluated and saved. 0: no average.",
    )
    ema_every: int = Field(1, ge=1, description="Steps from one update of the moving average to the next.")
    batch_norm: Literal["per_replica", "synchronized", "frozen", "constant"] = Field(
        "per_replica",
        description="Batch normalization over one replica, over all replicas, or with the loaded moving statistics "
        "(frozen). constant: scale and shift are the loaded ones too, as in the paper's detectors.",
    )
    precise_bn_batches: int = Field(
        0,
        ge=0,
        description="Number of batches for recomputing the moving statistics after training. 0: not recomputed.",
    )
    freeze_at: Literal["stem", "stage1", "stage2", "stage3", "stage4"] | None = Field(
        None, description="Freeze the weights up to and including this part. null: train all."
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Factor on the learning rate from each stage to the one before it. 1: none."
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool | None = Field(
        None, description="Compile the forward and backward pass with XLA. null: only on one GPU."
    )
    remat: bool = Field(
        False, description="Rematerialize activations inside blocks in the backward pass: less memory, slower steps."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of initial weights, image order and augmentation.")
    log_every: int = Field(50, ge=1, description="Steps between lines of metrics.jsonl.")
    eval_every: int | None = Field(
        None, ge=1, description="Steps between evaluations. null: once per epoch, at most 20 times."
    )
    checkpoint_every: int | None = Field(None, ge=1, description="Steps between checkpoints. null: as eval_every.")
    keep_checkpoints: int = Field(
        2, ge=1, description="Number of newest checkpoints to keep; that of the best evaluation is kept too."
    )
    early_stopping_patience: int | None = Field(
        None,
        ge=1,
        description="Evaluations without improvement after which the run ends. null: no early stopping.",
    )
    class_weights: ClassWeights = Field(
        None,
        description="Factors on the training loss. balanced: n / (K n_k) for images of class k, of which there are n_k "
        "of n in K classes; {class: weight}: for the named classes, 1 for the others. null: none.",
    )
    deterministic: bool = Field(
        False, description="Use deterministic kernels: equal bits on GPUs too, but slower. CPUs do not need it."
    )
    wandb_project: str | None = Field(None, description="Weights & Biases project to log to. null: none.")

    @property
    def total_steps(self) -> int:
        """Returns the number of steps of a resolved configuration."""
        if self.steps is None:
            raise ValueError("train.steps is not resolved; see keras_resnet.config.resolve")
        return self.steps

    @property
    def peak_rate(self) -> float:
        """Returns the peak learning rate, after linear scaling."""
        return self.learning_rate * (self.batch_size / self.base_batch_size if self.base_batch_size else 1)

    @model_validator(mode="after")
    def _length(self):
        if (self.steps is None) == (self.epochs is None):
            given, beside = ("neither", None) if self.steps is None else ("both", ["epochs"])
            raise problem(["steps"], f"give one of train.steps and train.epochs, got {given}", beside)
        if list(self.milestones) != sorted(self.milestones):
            raise problem(["milestones"], "expected growing fractions")
        if self.warmup_learning_rate is not None and not self.warmup_steps:
            raise problem(["warmup_learning_rate"], "is the rate of the first train.warmup_steps, which is 0")
        self._check_options("optimizer", OPTIMIZERS, OPTIONS)
        self._check_options("loss", LOSSES, ("target_threshold", "focal_gamma"))
        if self.betas is not None and len(self.betas) != 2:
            raise problem(["betas"], f"expected two numbers, got {list(self.betas)}")
        for name in ("teacher_weight", "teacher_temperature"):
            if self.teacher is None and getattr(self, name) != type(self).model_fields[name].default:
                raise problem([name], "needs train.teacher")
        if self.warmup_start_factor is not None and (not self.warmup_steps or self.warmup_learning_rate is not None):
            raise problem(["warmup_start_factor"], "is for a linear warm-up: train.warmup_steps alone")
        if self.ema_every > 1 and not self.ema_decay:
            raise problem(["ema_every"], "needs train.ema_decay")
        if self.batch_norm in ("frozen", "constant") and self.precise_bn_batches:
            raise problem(["precise_bn_batches"], f"cannot go with train.batch_norm: {self.batch_norm}")
        return self

    def _check_options(self, key, table, options):
        """Raises an error for the first of `options` that is set and is not one of the selected row of a table."""
        for name in options:
            default = type(self).model_fields[name].default
            if getattr(self, name) != default and name not in table[getattr(self, key)].options:
                others = ", ".join(other for other, row in table.items() if name in row.options)
                raise problem([name], f"is an option of {others}, not of train.{key}: {getattr(self, key)}; omit it")


class Recovery(Group):
    """Recovery from a diverging loss and from checkpoints that cannot be written."""

    on_divergence: Literal["roll_back", "stop"] = Field(
        "roll_back",
        description="If the loss is not finite or explodes. roll_back: to the last checkpoint. stop: end the run.",
    )
    max_rollbacks: int = Field(3, ge=0, le=100, description="Largest number of rollbacks before the run stops.")
    learning_rate_factor: float = Field(
        0.5, gt=0, le=1, description="Every rollback multiplies the learning rate by this factor."
    )
    max_loss_ratio: float | None = Field(
        10.0,
        gt=1,
        description="A loss explodes if its mean over a log interval exceeds this multiple of the first step's loss "
        "(at least 1). null: only a non-finite loss counts.",
    )
    on_save_error: Literal["stop", "continue"] = Field(
        "stop", description="If a checkpoint cannot be written. stop: end the run. continue: warn and try the next one."
    )
