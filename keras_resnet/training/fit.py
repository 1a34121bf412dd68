"""The training loop for all strategies and tasks."""

import math
import time
from dataclasses import replace

import keras
import tensorflow as tf

from keras_resnet.data.pipeline import naming_image_errors, training_batches
from keras_resnet.errors import DiskError, DivergenceError
from keras_resnet.runs.checkpoints import RunState
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.kept_images import keep_images
from keras_resnet.runs.logs import MetricsLog, RunLog, open_dashboards
from keras_resnet.runs.report import draw_examples, write_final_report
from keras_resnet.runs.saver import Saver
from keras_resnet.task import CalibratingCollector, Task, monitored
from keras_resnet.training import pitfalls
from keras_resnet.training.averages import averaged_weights, reestimate_statistics
from keras_resnet.training.divergence import Diverged, Divergence, Divergences
from keras_resnet.training.metrics import Evaluator, Interrupted, MetricAccumulator
from keras_resnet.training.optimizer import build_model_and_optimizer
from keras_resnet.training.progress import ProgressReporter, summary
from keras_resnet.training.signals import StopRequest
from keras_resnet.training.steps import make_train_step
from keras_resnet.training.strategy import SYNC_EVERY, Workers, is_chief


def fit(task: Task, strategy: tf.distribute.Strategy, folder: RunFolder) -> dict:
    """Trains for the configured number of steps, resuming the folder's run if it has a checkpoint.

    Args:
        task: the task, with the run's resolved configuration.
        strategy: the distribution strategy.
        folder: the run's folder, already claimed and locked.

    Returns:
        The final metrics, as in results.json.

    Raises:
        DataError: an image is unreadable, or more images than allowed were skipped.
        DivergenceError: the loss is not finite or explodes, and rolling back did not help.
        DiskError: the folder can no longer be written.
        LostWorkerError: another worker is lost.
        Stopped: a signal stopped the run; a checkpoint holds its state.
    """
    results = folder.read_results()
    if results is None:
        workers = Workers(strategy)
        with StopRequest() as stop, workers.watched():
            results = _Run(task, strategy, folder, workers, stop).train()
    return results


class _Run:
    """The part of a run in this process: model, optimizer and state."""

    def __init__(self, task, strategy, folder, workers, stop):
        self.task, self.strategy, self.folder, self.workers, self.stop = task, strategy, folder, workers, stop
        self.config, self.train_config = task.config, task.config.train
        self.writes = is_chief(strategy)
        self.run_log = RunLog(folder.log, silent=not self.writes)
        first = monitored(task.metrics)[0]
        self.reporter = ProgressReporter(
            self.train_config.total_steps,
            self.train_config.batch_size,
            (first, task.metrics[first]),
            silent=not self.writes,
        )
        self.accumulator = MetricAccumulator(task, self._warn if self.writes else lambda line: None)
        self.divergences = Divergences(folder.divergences, self.config.recovery, self.writes)

        self.model, self.optimizer = build_model_and_optimizer(task, strategy)
        self.run_optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self.saver = Saver(self.config, self.model, self.optimizer, folder, self.writes, self._warn)
        self.began_from = None
        self.state = RunState()
        if not self._restore():
            self.began_from = task.start_from(self.model)
            self.saver.self_check(self.state)
            if self.writes:
                replicas = strategy.num_replicas_in_sync
                self._warn_each(pitfalls.at_start(self.config, self.model, replicas, bool(self.began_from)))
        self.earlier = self.state.seconds
        self.evaluate = Evaluator(task, self.model, strategy, lambda: bool(stop.signal) and not workers.several)

    def train(self):
        """Runs the loop and returns the final metrics."""
        step = self.state.step
        self.reporter.table(*summary(self.task, self.model, self.strategy, self.folder.path, step, self.began_from))
        going = f"resuming from step {step}" if step else "starting"
        self.run_log.write(f"{going}, to step {self.train_config.total_steps}; {type(self.strategy).__name__}")
        self.began = time.monotonic()
        log = None
        self.reporter.start(step)
        try:
            if self.writes:
                log = MetricsLog(self.folder, step, open_dashboards(self.config, self.folder, step))
                if not step:
                    self._draw_examples()
                    keep_images(self.folder.kept_images, self.task)
            self._loop(log)
            self.reporter.stop()
            return self._finish()
        except Interrupted:
            self._leave()
        except OSError as error:
            raise DiskError(
                f"{self.folder.path}: cannot be written ({error.strerror}); the run can resume from its last checkpoint"
            ) from None
        finally:
            self.reporter.stop()
            self.saver.close()
            if log:
                log.close()

    def _loop(self, log):
        train_step = make_train_step(self.task, self.model, self.optimizer, self.strategy)
        while True:
            batches = training_batches(self.task, self.strategy, self.state.step)
            try:
                self._settle(log)  # finishes the step of a process that was stopped
                while not self._done():
                    self.accumulator.count(train_step(next(batches)))
                    self.state.step += 1
                    self.reporter.step_done(self.state.step)
                    if self._should_stop():
                        self._leave()
                    self._settle(log)
                    self.saver.check()
                return
            except Diverged as diverged:
                self._roll_back(diverged.found, log)

    def _done(self):
        stale = (
            self.train_config.early_stopping_patience is not None
            and self.state.since_best >= self.train_config.early_stopping_patience
        )
        return self.state.step >= self.train_config.total_steps or stale

    def _settle(self, log):
        """Logs, evaluates and saves if due after the current step; does nothing if this was already done."""
        train, state = self.train_config, self.state
        if state.settled == state.step:
            return
        last = state.step == train.total_steps
        reports = last or state.step % train.log_every == 0
        evaluates = last or state.step % train.eval_every == 0
        saves = last or state.step % train.checkpoint_every == 0
        if reports or saves or evaluates:
            self.accumulator.flush(state)
        validation = self._validated() if evaluates else {}
        best = bool(validation) and state.keep_best(validation, self.task.metrics)
        metrics = (self._train_metrics() if reports else {}) | _prefixed("validation", validation)
        state.settled = state.step
        if metrics and log:
            log.write(state.step, metrics, {"speed/images_per_second": self.reporter.images_per_second(state.step)})
            self.reporter.show_metrics(state.step, metrics)
        if saves or best or (evaluates and self._done()):
            self._save(best)

    def _train_metrics(self):
        rate = float(keras.ops.convert_to_numpy(self.run_optimizer.learning_rate))
        return _prefixed("train", self.accumulator.metrics(self.state) | {"learning_rate": rate})

    def _validated(self):
        with averaged_weights(self.model, self.optimizer):
            metrics = self._evaluated()
        if not all(map(math.isfinite, metrics.values())):
            norm = float(keras.ops.convert_to_numpy(self.run_optimizer.gradient_norm))
            raise Diverged(Divergence(self.state.step, metrics.get("loss", math.nan), norm))
        self.state.validation = metrics
        return metrics

    def _evaluated(self):
        """Returns the metrics of the validation split; the model's description receives what they determine."""
        collector = self.task.collector("validation")
        metrics = self.evaluate("validation", collector)
        if isinstance(collector, CalibratingCollector):
            self.model.description = collector.calibrated(self.model.description)
        return metrics

    def _save(self, best=False):
        self.saver.save(replace(self.state, pending=dict(self.state.pending), seconds=self._elapsed()), best)

    def _restore(self):
        """Restores the newest checkpoint; returns whether there was one."""
        self.workers.check_same(int(self.config.digest()[:6], 16), "the configuration, by its digest")
        state = self.saver.restore()
        self.workers.check_same(-1 if state is None else state.step, f"{self.folder.checkpoints}: the newest step")
        if state is None:
            return False
        self.state = state
        self.accumulator.forget(state)
        self.run_optimizer.learning_rate_factor.assign(self.divergences.learning_rate_factor)
        return True

    def _roll_back(self, found, log):
        """Rolls back to the last checkpoint with a lower learning rate, or ends the run with an error."""
        rate = self.run_optimizer.rate_at(found.step - 1)
        found = replace(found, learning_rate=rate, samples=self.task.train_samples(found.step - 1))
        self.saver.wait()
        self.workers.wait()
        if self.divergences.may_roll_back and self._restore():
            found = replace(found, rolled_back_to=self.state.step)
        self.divergences.add(found)
        if found.rolled_back_to is None:
            self.run_log.write(str(found))
            raise DivergenceError(
                f"{found}, after {self.divergences.rollbacks} rollbacks; {self.folder.divergences} names the images. "
                f"Try train.warmup_steps, or a train.learning_rate below {self.train_config.learning_rate:g}"
            )
        factor = self.divergences.learning_rate_factor
        self.run_optimizer.learning_rate_factor.assign(factor)
        self._warn(f"{found}; going back to step {self.state.step}, with the learning rate times {factor:g} from there")
        self.reporter.rewind(self.state.step)
        if log:
            log.rewind(self.state.step)

    def _should_stop(self):
        stopped = self.stop.signal is not None
        if self.workers.several:
            return self.state.step % SYNC_EVERY == 0 and self.workers.any(stopped)
        return stopped

    def _leave(self):
        self.accumulator.flush(self.state)
        self.saver.wait()
        if self.saver.saved != self.state.step:
            self._save()
        self.saver.wait(must=True)
        where = f"step {self.state.step} of {self.train_config.total_steps} is saved"
        self.run_log.write(f"stopped; {where}")
        raise self.stop.stopped(f"{where}, and the same command resumes from there")

    def _draw_examples(self):
        with naming_image_errors(self.task, 0):
            images, captions = self.task.example_batch(min(16, self.train_config.batch_size))
        draw_examples(self.folder.examples, images, captions)

    def _warn(self, text):
        self.reporter.warn(text)
        self.run_log.write(text)

    def _warn_each(self, lines):
        for line in lines:
            self._warn(line)

    def _elapsed(self):
        """Returns the seconds of training, including the earlier processes of this run."""
        return self.earlier + time.monotonic() - self.began

    def _finish(self):
        state, batches = self.state, self.train_config.precise_bn_batches
        with averaged_weights(self.model, self.optimizer):
            if batches:
                self.reporter.say(f"averaging statistics over {batches} batches")
                reestimate_statistics(self.task, self.model, self.strategy, batches)
                state.validation = self._evaluated()
            if (batches or not state.best) and state.keep_best(state.validation, self.task.metrics):
                self.saver.save_weights(self.folder.best_weights, state.step)
            self.saver.save_weights(self.folder.last_weights, state.step)
            # The workers of a cluster would have to examine it together.
            findings = [] if self.workers.several else pitfalls.at_end(self.task, self.model, self.folder)
        self._warn_each(findings)
        results = write_final_report(
            self.folder if self.writes else None,
            self.task,
            state,
            self._elapsed(),
            self.divergences.rollbacks,
            findings,
        )
        early = f", {state.since_best} evaluations after the best" if state.step < self.train_config.total_steps else ""
        self.run_log.write(f"finished at step {state.step}{early}")
        return results


def _prefixed(split, metrics):
    return {f"{split}/{name}": value for name, value in metrics.items()}
