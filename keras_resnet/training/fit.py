"""The training loop, one for every strategy and every task."""

import json
import math
import time

import keras
import tensorflow as tf

from keras_resnet.analysis.complexity import complexity
from keras_resnet.errors import ConfigError, DiskError, DivergenceError
from keras_resnet.task import Task
from keras_resnet.training.checkpoints import Checkpoint, newest_checkpoint, save_checkpoint
from keras_resnet.training.evaluation import Evaluator, add, distribute
from keras_resnet.training.metrics_log import MetricsLog, draw_curves
from keras_resnet.training.optimizer import build_optimizer
from keras_resnet.training.progress import Reporter
from keras_resnet.training.run_folder import RunFolder, write_text
from keras_resnet.training.steps import make_train_step
from keras_resnet.training.strategy import is_chief
from keras_resnet.weights.native import assign_tensors, named_variables, to_tensors, write_tensors


def fit(task: Task, strategy: tf.distribute.Strategy, folder: RunFolder) -> dict:
    """Trains until the configured steps are done, from wherever the folder's run stands.

    Args:
        task: what is learnt, with the run's resolved configuration.
        strategy: the devices.
        folder: the run's folder, already claimed.

    Returns:
        The final figures, as in results.json.

    Raises:
        DivergenceError: the loss is no longer a number.
        DiskError: the folder cannot be written any more.
    """
    results = folder.read_results()
    if results is None:
        results = _Run(task, strategy, folder).train()
    return results


class _Run:
    """One process's part of a run: model, optimizer and how far they are."""

    def __init__(self, task, strategy, folder):
        self.task, self.strategy, self.folder = task, strategy, folder
        self.config, self.train_config = task.config, task.config.train
        self.writes = is_chief(strategy)
        self.reporter = Reporter(self.train_config.total_steps, self.train_config.batch_size, silent=not self.writes)
        self.step = 0
        self.best: dict = {}  # step, ranks and figures of the best evaluation
        self.pending: dict[str, float] = {}  # sums of steps that no report holds yet

        self.seconds = 0.0  # of earlier processes

        keras.utils.set_random_seed(self.train_config.seed)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.train_config.precision)
        with strategy.scope():
            self.model = task.build_model()
            self.optimizer = build_optimizer(self.train_config, self.model.trainable_variables)
        keras.config.set_dtype_policy(policy)
        self._restore()
        self.evaluate = Evaluator(task, self.model, strategy)

    def train(self):
        """Runs the loop and returns the final figures."""
        self._announce()
        self.began = time.monotonic()
        log = None
        self.reporter.start(self.step)
        try:
            log = MetricsLog(self.folder, self.step) if self.writes else None
            self._loop(log)
            self.reporter.stop()
            return self._finish()
        except OSError as error:
            raise DiskError(
                f"{self.folder.path}: cannot be written ({error.strerror}); the run can go on from its last checkpoint"
            ) from None
        finally:
            self.reporter.stop()
            if log:
                log.close()

    def _loop(self, log):
        train = self.train_config
        train_step = make_train_step(self.task, self.model, self.optimizer, self.strategy, train.jit_compile)
        dataset = distribute(self.strategy, lambda shard: self.task.train_dataset(self.step, shard), train.batch_size)
        batches = iter(dataset)
        unreported = []
        while self.step < train.total_steps:
            unreported.append(train_step(next(batches)))
            self.step += 1
            self.reporter.step_done(self.step)
            last = self.step == train.total_steps
            reports = last or self.step % train.log_every == 0
            evaluates = last or self.step % train.eval_every == 0
            saves = last or self.step % train.checkpoint_every == 0
            if reports or saves or evaluates:
                self.pending = _plus(self.pending, add(unreported))
                self._check_finite(self.pending)
                unreported = []
            figures: dict[str, float] = {}
            if reports:
                figures |= self._train_figures()
            if evaluates:
                figures |= self._evaluated()
            if figures and log:
                log.write(self.step, figures, {"speed/images_per_second": self.reporter.images_per_second(self.step)})
                self.reporter.figures(self.step, figures)
            if saves:
                self._save()

    def _train_figures(self):
        figures = self.task.summarize(self.pending)
        self.pending = {}
        rate = float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
        return {f"train/{name}": value for name, value in figures.items()} | {"train/learning_rate": rate}

    def _check_finite(self, figures):
        """Stops a run whose loss is no longer a number before anything of it is kept."""
        if not all(map(math.isfinite, figures.values())):
            raise DivergenceError(
                f"step {self.step}: the loss is {figures['loss']}; {self.folder.path} keeps the last "
                f"checkpoint. Try train.warmup_steps, or a train.learning_rate below {self.train_config.learning_rate}"
            )

    def _evaluated(self):
        figures = self.evaluate("validation")
        self._check_finite(figures)
        ranks = [figures[name] for name in self.task.monitor]
        if not self.best or ranks <= self.best["ranks"]:
            self.best = {"step": self.step, "ranks": ranks, "figures": figures}
            self._save_weights(self.folder.best_weights)
        return {f"validation/{name}": value for name, value in figures.items()}

    def _save(self):
        # Reading variables may sum over workers, so that every worker reads and only the chief writes.
        arrays = to_tensors(self._variables())
        if self.writes:
            state = {"best": self.best, "pending": self.pending, "seconds": self._elapsed()}
            save_checkpoint(
                self.folder.checkpoints, Checkpoint(self.step, arrays, state), self.train_config.keep_checkpoints
            )

    def _save_weights(self, path):
        metadata = {"network": self.config.model.name, "step": str(self.step), "config": self.config.model_dump_json()}
        arrays = to_tensors(named_variables(self.model))
        if self.writes:
            write_tensors(arrays, path, metadata)

    def _restore(self):
        checkpoint = newest_checkpoint(self.folder.checkpoints, self.reporter.warn)
        if checkpoint is None:
            self.task.start_from(self.model)
            return
        try:
            assign_tensors(self._variables(), checkpoint.arrays, self.folder.checkpoints)
        except ValueError as error:
            raise ConfigError(f"a checkpoint of another network: {error}") from None
        self.step, self.best, self.pending = checkpoint.step, checkpoint.state["best"], checkpoint.state["pending"]
        self.seconds = checkpoint.state["seconds"]

    def _variables(self):
        return named_variables(self.model) | {
            f"optimizer/{i}/{v.path}": v for i, v in enumerate(self.optimizer.variables)
        }

    def _announce(self):
        train, cost = self.train_config, complexity(self.model)
        replicas = self.strategy.num_replicas_in_sync
        devices = sorted(
            {device.split("/")[-1].removeprefix("device:") for device in self.strategy.extended.worker_devices}
        )
        epochs = train.total_steps * train.batch_size / self.task.train_size
        sizes = ", ".join(f"{size} {name}" for name, size in self.task.sizes.items())
        self.reporter.table(
            f"Training {self.config.model.name} on {self.config.data.name}",
            {
                "network": f"{cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds per image",
                "images": f"{sizes}; the network sees {'x'.join(map(str, self.model.input_shape[1:]))}",
                "devices": f"{type(self.strategy).__name__}: {', '.join(devices)}",
                "batch": f"{train.batch_size} = {replicas} x {train.batch_size // replicas}",
                "steps": f"{train.total_steps:,} ({epochs:.1f} epochs)",
                "workdir": self.folder.path,
            }
            | ({"going on": f"from step {self.step:,}"} if self.step else {}),
        )

    def _elapsed(self):
        """Seconds of training, also of the processes that this one goes on from."""
        return self.seconds + time.monotonic() - self.began

    def _finish(self):
        self._save_weights(self.folder.last_weights)
        validation = self.evaluate("validation")
        results = {
            "steps": self.step,
            "validation": validation,
            "best": {"step": self.best["step"], "validation": self.best["figures"]},
            "images_per_second": round(self.step * self.train_config.batch_size / self._elapsed(), 1),
            "seconds": round(self._elapsed(), 1),
        }
        if self.writes:
            write_text(self.folder.results, json.dumps(results, indent=1) + "\n")
            draw_curves(self.folder, f"{self.config.model.name} on {self.config.data.name}")
        return results


def _plus(sums, more):
    return {name: sums.get(name, 0.0) + value for name, value in more.items()} if more else sums
