"""The groups `train` and `recovery`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from keras_resnet.config.fields import Group, problem


class Train(Group):
    """How the weights are learned. Time is counted in optimizer steps."""

    steps: int | None = Field(None, ge=1, le=10**9, description="Optimizer steps in all. Give this or epochs.")
    epochs: float | None = Field(None, gt=0, le=10**6, description="Passes over the training images.")
    batch_size: int = Field(128, ge=1, le=10**6, description="Images of one step, over all replicas.")
    learning_rate: float = Field(0.1, ge=0, description="The highest rate. 0: nothing is learned, as a control.")
    base_batch_size: int | None = Field(
        None, ge=1, description="Linear scaling: learning_rate is for batches of so many images. null: for this batch."
    )
    schedule: Literal["step", "cosine", "constant"] = Field(
        "step", description="step: times 0.1 at each of milestones. cosine: to 0 at the end. constant."
    )
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), strict=False, description="For schedule: step, the fractions of the steps at which the rate drops."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps in which the rate grows linearly to learning_rate.")
    warmup_learning_rate: float | None = Field(
        None, gt=0, description="A constant rate during the warm-up instead, as the paper's for ResNet-110."
    )
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, description="L2 in the gradient; the papers' and Torch's weight decay.")
    weight_decay_on: Literal["kernels", "all"] = Field(
        "kernels", description="kernels: not of biases and normalization. all: as in the paper's Caffe networks."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")
    global_clipnorm: float | None = Field(
        None, gt=0, description="Greatest norm of the gradient of all weights together."
    )
    gradient_accumulation_steps: int = Field(
        1, ge=1, description="Parts in which a replica computes its batch, one after the other, to save memory."
    )
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Test and keep an exponential moving average of the weights. 0: the weights."
    )
    batch_norm: Literal["per_replica", "synchronized", "frozen"] = Field(
        "per_replica",
        description="Batch normalization by the batch of one replica, of all replicas, or as it was loaded.",
    )
    precise_bn_batches: int = Field(
        0, ge=0, description="After training, batches over which normalization's statistics are computed again."
    )
    freeze_at: Literal["stem", "stage1", "stage2", "stage3", "stage4"] | None = Field(
        None, description="Keep the weights up to and with this part as they were loaded."
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Factor on the learning rate from each stage to the one below it."
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool | None = Field(
        None, description="Compile forward and backward pass with XLA. null: on one GPU, and nowhere else."
    )
    remat: bool = Field(
        False, description="Keep blocks' outputs alone and compute the rest again: less memory, slower steps."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Decides weights, order and augmentation.")
    log_every: int = Field(50, ge=1, description="Steps between lines of metrics.jsonl.")
    eval_every: int | None = Field(
        None, ge=1, description="Steps between evaluations. null: once an epoch, 20 at most."
    )
    checkpoint_every: int | None = Field(None, ge=1, description="Steps between checkpoints. null: as eval_every.")
    keep_checkpoints: int = Field(
        2, ge=1, description="How many of the newest checkpoints stay; that of the best evaluation stays besides."
    )
    early_stopping_patience: int | None = Field(
        None,
        ge=1,
        description="Early stopping: evaluations without a better one after which the run ends. null: never.",
    )
    deterministic: bool = Field(
        False, description="TensorFlow's deterministic kernels: equal bits on GPUs too, but slower. CPUs need it not."
    )
    wandb_project: str | None = Field(None, description="Also log to this project of Weights & Biases.")

    @property
    def total_steps(self) -> int:
        """Steps of a resolved configuration."""
        if self.steps is None:
            raise ValueError("train.steps is not resolved; see keras_resnet.config.resolve")
        return self.steps

    @property
    def peak_rate(self) -> float:
        """The highest learning rate, after linear scaling."""
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
        if self.batch_norm == "frozen" and self.precise_bn_batches:
            raise problem(["precise_bn_batches"], "cannot go with train.batch_norm: frozen")
        return self


class Recovery(Group):
    """What a run does when its loss explodes, or a checkpoint cannot be written."""

    on_divergence: Literal["roll_back", "stop"] = Field(
        "roll_back", description="A loss that is no number or explodes. roll_back: to the last checkpoint. stop."
    )
    max_rollbacks: int = Field(3, ge=0, le=100, description="How often a run may roll back before it stops.")
    learning_rate_factor: float = Field(
        0.5, gt=0, le=1, description="Every rollback multiplies the learning rate with it."
    )
    max_loss_ratio: float | None = Field(
        10.0,
        gt=1,
        description="A loss explodes that is, over the steps of a report, so many times the first step's (at least 1). "
        "null: only what is no number.",
    )
    on_save_error: Literal["stop", "continue"] = Field(
        "stop", description="A checkpoint that cannot be written. continue: go on, say so, and try the next one."
    )
