"""The training loop, one for every strategy and every task."""

import json
import math
import time
from dataclasses import replace

import keras
import tensorflow as tf

from keras_resnet.data.batches import training_batches
from keras_resnet.data.faults import named
from keras_resnet.errors import DataError, DiskError, DivergenceError
from keras_resnet.task import Task
from keras_resnet.training.agreement import AGREE_EVERY, Workers
from keras_resnet.training.averages import averaged_weights, reestimate_statistics
from keras_resnet.training.dashboards import open_dashboards
from keras_resnet.training.divergence import Divergence, Divergences, find_divergence
from keras_resnet.training.evaluation import Evaluator, Interrupted, add
from keras_resnet.training.finetuning import prepare
from keras_resnet.training.journal import Journal
from keras_resnet.training.metrics_log import MetricsLog
from keras_resnet.training.model_card import write_card
from keras_resnet.training.optimizer import build_optimizer
from keras_resnet.training.pictures import draw_curves, draw_examples
from keras_resnet.training.progress import Reporter
from keras_resnet.training.run_folder import RunFolder, write_text
from keras_resnet.training.run_state import RunState
from keras_resnet.training.saver import Saver
from keras_resnet.training.signals import StopRequest
from keras_resnet.training.skipped import SkippedImages
from keras_resnet.training.steps import make_train_step
from keras_resnet.training.strategy import compiles_by_default, is_chief
from keras_resnet.training.summary import summary


def fit(task: Task, strategy: tf.distribute.Strategy, folder: RunFolder) -> dict:
    """Trains until the configured steps are done, from wherever the folder's run stands.

    Args:
        task: what is learnt, with the run's resolved configuration.
        strategy: the devices.
        folder: the run's folder, already claimed and locked.

    Returns:
        The final figures, as in results.json.

    Raises:
        DataError: an image cannot be read, or too many.
        DivergenceError: the loss is no number or explodes, and rolling back did not help.
        DiskError: the folder cannot be written any more.
        LostWorkerError: another worker is gone.
        Stopped: by a signal; a checkpoint holds everything.
    """
    results = folder.read_results()
    if results is None:
        workers = Workers(strategy)
        with StopRequest() as stop, workers.watched():
            results = _Run(task, strategy, folder, workers, stop).train()
    return results


class _Diverged(Exception):
    """Carries the `Divergence` from where it is noticed to the loop."""

    def __init__(self, found: Divergence):
        self.found = found


class _Run:
    """One process's part of a run: model, optimizer and how far they are."""

    def __init__(self, task, strategy, folder, workers, stop):
        self.task, self.strategy, self.folder, self.workers, self.stop = task, strategy, folder, workers, stop
        self.config, self.train_config = task.config, task.config.train
        self.writes = is_chief(strategy)
        self.journal = Journal(folder.log, silent=not self.writes)
        self.reporter = Reporter(self.train_config.total_steps, self.train_config.batch_size, silent=not self.writes)
        self.skipped = SkippedImages(task, self._warn if self.writes else lambda line: None)
        self.divergences = Divergences(folder.divergences, self.config.recovery, self.writes)

        if self.train_config.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(self.train_config.seed)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.train_config.precision)
        with strategy.scope():
            self.model = task.build_model()
            prepare(self.model, self.train_config)
            self.optimizer = build_optimizer(self.train_config, self.model.trainable_variables)
        keras.config.set_dtype_policy(policy)
        self.sgd = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self.saver = Saver(self.config, self.model, self.optimizer, folder, self.writes, self._warn)
        self.began_from = None
        self.state = RunState()
        if not self._restore():
            self.began_from = task.start_from(self.model)
            self.saver.prove(self.state)
        self.earlier = self.state.seconds
        self.unsummed: list[dict] = []  # sums of the last steps, still on their devices
        self.evaluate = Evaluator(task, self.model, strategy, lambda: bool(stop.signal) and not workers.several)

    def train(self):
        """Runs the loop and returns the final figures."""
        step = self.state.step
        self.reporter.table(*summary(self.task, self.model, self.strategy, self.folder.path, step, self.began_from))
        going = f"going on from step {step}" if step else "starting"
        self.journal.write(f"{going}, to step {self.train_config.total_steps}; {type(self.strategy).__name__}")
        self.began = time.monotonic()
        log = None
        self.reporter.start(step)
        try:
            if self.writes:
                log = MetricsLog(self.folder, step, open_dashboards(self.config, self.folder, step))
                if not step:
                    self._draw_examples()
            self._loop(log)
            self.reporter.stop()
            results = self._finish()
            self.journal.write(f"finished at step {self.state.step}")
            return results
        except Interrupted:
            self._leave()
        except OSError as error:
            raise DiskError(
                f"{self.folder.path}: cannot be written ({error.strerror}); the run can go on from its last checkpoint"
            ) from None
        finally:
            self.reporter.stop()
            self.saver.close()
            if log:
                log.close()

    def _loop(self, log):
        train = self.train_config
        jit_compile = compiles_by_default(self.strategy) if train.jit_compile is None else train.jit_compile
        train_step = make_train_step(self.task, self.model, self.optimizer, self.strategy, jit_compile)
        while True:
            batches = training_batches(self.task, self.strategy, self.state.step)
            try:
                self._settle(log)  # what a process that was told to stop left undone
                while not self._done():
                    self.unsummed.append(train_step(self._next(batches)))
                    self.state.step += 1
                    self.reporter.step_done(self.state.step)
                    if self._told_to_stop():
                        self._leave()
                    self._settle(log)
                    self.saver.check()
                return
            except _Diverged as diverged:
                self._roll_back(diverged.found, log)

    def _done(self):
        stale = self.train_config.patience is not None and self.state.since_best >= self.train_config.patience
        return self.state.step >= self.train_config.total_steps or stale

    def _settle(self, log):
        """Does what is due after a step: reports, evaluates, saves; nothing, if it is done already."""
        train, state = self.train_config, self.state
        if state.settled == state.step:
            return
        last = state.step == train.total_steps
        reports = last or state.step % train.log_every == 0
        evaluates = last or state.step % train.eval_every == 0
        saves = last or state.step % train.checkpoint_every == 0
        if reports or saves or evaluates:
            self._sum_up()
        validation = self._validated() if evaluates else {}
        best = bool(validation) and self._keep_best(validation)
        figures = (self._train_figures() if reports else {}) | _prefixed("validation", validation)
        state.settled = state.step
        if figures and log:
            log.write(state.step, figures, {"speed/images_per_second": self.reporter.images_per_second(state.step)})
            self.reporter.figures(state.step, figures)
        if saves or best or (evaluates and self._done()):
            self._save(best)

    def _sum_up(self):
        """Adds the steps since the last time to what is pending, once they are known to be sound."""
        state, steps, self.unsummed = self.state, self.unsummed, []
        self.skipped.count(steps, state.step)
        sums = [{name: float(value) for name, value in of_step.items()} for of_step in steps]
        if sums and state.first_loss is None and sums[0]["images"]:
            state.first_loss = sums[0]["loss"] / sums[0]["images"]
        found = find_divergence(sums, state.step, state.first_loss, self.config.recovery.explosion)
        if found:
            raise _Diverged(found)
        for name, value in add(sums).items():
            state.pending[name] = state.pending.get(name, 0.0) + value

    def _train_figures(self):
        sums, self.state.pending = self.state.pending, {}
        figures = self.task.summarize(sums) | {"gradient_norm": sums["gradient_norm"] / sums["steps"]}
        rate = float(keras.ops.convert_to_numpy(self.sgd.learning_rate))
        return _prefixed("train", figures | {"learning_rate": rate})

    def _validated(self):
        with averaged_weights(self.model, self.optimizer):
            figures = self.evaluate("validation")
        if not all(map(math.isfinite, figures.values())):
            norm = float(keras.ops.convert_to_numpy(self.sgd.gradient_norm))
            raise _Diverged(Divergence(self.state.step, figures["loss"], norm))
        self.state.validation = figures
        return figures

    def _keep_best(self, figures):
        """Whether an evaluation is the best so far; an equal one counts as better."""
        ranks, best = [figures[name] for name in self.task.monitor], self.state.best
        if best and ranks > best["ranks"]:
            self.state.since_best += 1
            return False
        self.state.best = {"step": self.state.step, "ranks": ranks, "figures": figures}
        self.state.since_best = 0
        return True

    def _save(self, best=False):
        self.state.skipped = sorted(self.skipped.lines)
        self.saver.save(replace(self.state, pending=dict(self.state.pending), seconds=self._elapsed()), best)

    def _restore(self):
        """Whether there was a checkpoint to go on from."""
        state = self.saver.restore()
        self.workers.check_same(-1 if state is None else state.step, f"{self.folder.checkpoints}: the newest step")
        if state is None:
            return False
        self.state = state
        self.skipped.lines = set(state.skipped)
        self._set_rate_factor()
        return True

    def _roll_back(self, found, log):
        """Goes on from the last checkpoint with a lower rate, or ends the run with a report."""
        rate = self.sgd.rate_at(found.step - 1)
        found = replace(found, learning_rate=rate, samples=self.task.train_samples(found.step - 1))
        self.unsummed = []
        self.saver.wait()
        self.workers.wait()
        if self.divergences.may_roll_back and self._restore():
            found = replace(found, rolled_back_to=self.state.step)
        self.divergences.add(found)
        if found.rolled_back_to is None:
            self.journal.write(str(found))
            raise DivergenceError(
                f"{found}, after {self.divergences.rollbacks} rollbacks; {self.folder.divergences} names the images. "
                f"Try train.warmup_steps, or a train.learning_rate below {self.train_config.learning_rate:g}"
            )
        self._set_rate_factor()
        factor = self.divergences.rate_factor
        self._warn(f"{found}; going back to step {self.state.step}, with the learning rate times {factor:g} from there")
        self.reporter.rewind(self.state.step)
        if log:
            log.rewind(self.state.step)

    def _set_rate_factor(self):
        self.sgd.rate_factor.assign(self.divergences.rate_factor)

    def _told_to_stop(self):
        told = self.stop.signal is not None
        if self.workers.several:
            return self.state.step % AGREE_EVERY == 0 and self.workers.any(told)
        return told

    def _leave(self):
        self._sum_up()
        if self.saver.saved != self.state.step:
            self._save()
        self.saver.wait()
        where = f"step {self.state.step} of {self.train_config.total_steps} is saved"
        self.journal.write(f"stopped; {where}")
        raise self.stop.stopped(f"{where}, and the same command goes on from there")

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
        faults = self.task.train_faults(self.state.step)
        if self.config.data.service and not faults:
            raise DataError(f"data.service: {self.config.data.service}: {error.message.splitlines()[0]}") from error
        raise named(error, faults) from error

    def _warn(self, text):
        self.reporter.warn(text)
        self.journal.write(text)

    def _elapsed(self):
        """Seconds of training, also of the processes that this one goes on from."""
        return self.earlier + time.monotonic() - self.began

    def _finish(self):
        state = self.state
        with averaged_weights(self.model, self.optimizer):
            if self.train_config.reestimate_batches:
                self.reporter.say(f"averaging statistics over {self.train_config.reestimate_batches} batches")
                reestimate_statistics(self.task, self.model, self.strategy, self.train_config.reestimate_batches)
                state.validation = self.evaluate("validation")
                if self._keep_best(state.validation):
                    self.saver.save_weights(self.folder.best_weights, state.step)
            self.saver.save_weights(self.folder.last_weights, state.step)
        results = {
            "steps": state.step,
            "validation": state.validation,
            "best": {"step": state.best["step"], "validation": state.best["figures"]},
            "images_per_second": round(state.step * self.train_config.batch_size / self._elapsed(), 1),
            "seconds": round(self._elapsed(), 1),
            "skipped": len(self.skipped.lines),
            "rollbacks": self.divergences.rollbacks,
        }
        if self.writes:
            write_text(self.folder.results, json.dumps(results, indent=1) + "\n")
            draw_curves(self.folder, f"{self.config.model.name} on {self.config.data.name}")
            write_card(self.folder, self.task, results)
        return results


def _prefixed(split, figures):
    return {f"{split}/{name}": value for name, value in figures.items()}
