"""The training loop, one for every strategy and every task."""

import json
import math
import time

import keras
import tensorflow as tf

from keras_resnet.data.batches import training_batches
from keras_resnet.data.faults import named
from keras_resnet.errors import ConfigError, DataError, DiskError, DivergenceError
from keras_resnet.task import Task
from keras_resnet.training.averages import averaged_weights, reestimate_statistics
from keras_resnet.training.checkpoints import Checkpoint, newest_checkpoint, save_checkpoint
from keras_resnet.training.dashboards import open_dashboards
from keras_resnet.training.evaluation import Evaluator, add
from keras_resnet.training.finetuning import prepare
from keras_resnet.training.metrics_log import MetricsLog
from keras_resnet.training.model_card import write_card
from keras_resnet.training.optimizer import build_optimizer
from keras_resnet.training.pictures import draw_curves, draw_examples
from keras_resnet.training.progress import Reporter
from keras_resnet.training.run_folder import RunFolder, write_text
from keras_resnet.training.skipped import SkippedImages
from keras_resnet.training.steps import make_train_step
from keras_resnet.training.strategy import compiles_by_default, is_chief
from keras_resnet.training.summary import summary
from keras_resnet.weights.native import (
    assign_tensors,
    named_variables,
    random_states,
    to_tensors,
    write_tensors,
)


def fit(task: Task, strategy: tf.distribute.Strategy, folder: RunFolder) -> dict:
    """Trains until the configured steps are done, from wherever the folder's run stands.

    Args:
        task: what is learnt, with the run's resolved configuration.
        strategy: the devices.
        folder: the run's folder, already claimed.

    Returns:
        The final figures, as in results.json.

    Raises:
        DataError: an image cannot be read, or too many.
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
        self.skipped = SkippedImages(task, self.reporter.warn if self.writes else lambda line: None)
        self.began_from: str | None = None
        self.seconds = 0.0  # of earlier processes

        keras.utils.set_random_seed(self.train_config.seed)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.train_config.precision)
        with strategy.scope():
            self.model = task.build_model()
            prepare(self.model, self.train_config)
            self.optimizer = build_optimizer(self.train_config, self.model.trainable_variables)
        keras.config.set_dtype_policy(policy)
        self._restore()
        self.evaluate = Evaluator(task, self.model, strategy)

    def train(self):
        """Runs the loop and returns the final figures."""
        self.reporter.table(
            *summary(self.task, self.model, self.strategy, self.folder.path, self.step, self.began_from)
        )
        self.began = time.monotonic()
        log = None
        self.reporter.start(self.step)
        try:
            if self.writes:
                log = MetricsLog(self.folder, self.step, open_dashboards(self.config, self.folder))
            if self.writes and not self.step:
                self._draw_examples()
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
        jit_compile = compiles_by_default(self.strategy) if train.jit_compile is None else train.jit_compile
        train_step = make_train_step(self.task, self.model, self.optimizer, self.strategy, jit_compile)
        batches = training_batches(self.task, self.strategy, self.step)
        unreported: list[dict] = []
        while self.step < train.total_steps:
            unreported.append(train_step(self._next(batches)))
            self.step += 1
            self.reporter.step_done(self.step)
            last = self.step == train.total_steps
            reports = last or self.step % train.log_every == 0
            evaluates = last or self.step % train.eval_every == 0
            saves = last or self.step % train.checkpoint_every == 0
            if reports or saves or evaluates:
                self.skipped.count(unreported, self.step)
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

    def _draw_examples(self):
        try:
            draw_examples(self.folder.examples, *self.task.example_batch(min(16, self.train_config.batch_size)))
        except tf.errors.OpError as error:
            self._name_fault(error)

    def _next(self, batches):
        try:
            return next(batches)
        except tf.errors.OpError as error:
            self._name_fault(error)

    def _name_fault(self, error):
        """Raises what the data's error means: TensorFlow seldom names the file."""
        faults = self.task.train_faults(self.step)
        if self.config.data.service and not faults:
            raise DataError(f"data.service: {self.config.data.service}: {error.message.splitlines()[0]}") from error
        raise named(error, faults) from error

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
        with averaged_weights(self.model, self.optimizer):
            figures = self.evaluate("validation")
            self._check_finite(figures)
            self._keep_best(figures)
        return {f"validation/{name}": value for name, value in figures.items()}

    def _keep_best(self, figures):
        ranks = [figures[name] for name in self.task.monitor]
        if not self.best or ranks <= self.best["ranks"]:
            self.best = {"step": self.step, "ranks": ranks, "figures": figures}
            self._save_weights(self.folder.best_weights)

    def _save(self):
        # Reading variables may sum over workers, so that every worker reads and only the chief writes.
        arrays = to_tensors(self._variables())
        if self.writes:
            state = {
                "best": self.best,
                "pending": self.pending,
                "skipped": sorted(self.skipped.lines),
                "seconds": self._elapsed(),
            }
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
            self.began_from = self.task.start_from(self.model)
            return
        try:
            assign_tensors(self._variables(), checkpoint.arrays, self.folder.checkpoints)
        except ValueError as error:
            raise ConfigError(f"a checkpoint of another network: {error}") from None
        self.step, self.best, self.pending = checkpoint.step, checkpoint.state["best"], checkpoint.state["pending"]
        self.seconds = checkpoint.state["seconds"]
        self.skipped.lines.update(checkpoint.state["skipped"])

    def _variables(self):
        optimizer = {f"optimizer/{i}/{v.path}": v for i, v in enumerate(self.optimizer.variables)}
        return named_variables(self.model) | random_states(self.model) | optimizer

    def _elapsed(self):
        """Seconds of training, also of the processes that this one goes on from."""
        return self.seconds + time.monotonic() - self.began

    def _finish(self):
        with averaged_weights(self.model, self.optimizer):
            if self.train_config.reestimate_batches:
                self.reporter.say(f"averaging statistics over {self.train_config.reestimate_batches} batches")
                reestimate_statistics(self.task, self.model, self.strategy, self.train_config.reestimate_batches)
            validation = self.evaluate("validation")
            self._keep_best(validation)
            self._save_weights(self.folder.last_weights)
        results = {
            "steps": self.step,
            "validation": validation,
            "best": {"step": self.best["step"], "validation": self.best["figures"]},
            "images_per_second": round(self.step * self.train_config.batch_size / self._elapsed(), 1),
            "seconds": round(self._elapsed(), 1),
            "skipped": len(self.skipped.lines),
        }
        if self.writes:
            write_text(self.folder.results, json.dumps(results, indent=1) + "\n")
            draw_curves(self.folder, f"{self.config.model.name} on {self.config.data.name}")
            write_card(self.folder, self.task, results)
        return results


def _plus(sums, more):
    return {name: sums.get(name, 0.0) + value for name, value in more.items()} if more else sums
