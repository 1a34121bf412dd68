"""The summary that a run prints before it starts."""

import math

import tensorflow as tf

from keras_resnet.analysis.complexity import complexity
from keras_resnet.processor import describe, emulates_bfloat16


def summary(task, model, strategy: tf.distribute.Strategy, workdir: str, step: int, began_from: str | None):
    """Returns (title, {name: value}) of a run that starts after `step`."""
    config, train, cost = task.config, task.config.train, complexity(model)
    replicas = strategy.num_replicas_in_sync
    devices = sorted({name.split("/")[-1].removeprefix("device:") for name in strategy.extended.worker_devices})
    epochs = train.total_steps * train.batch_size / task.train_size
    sizes = ", ".join(f"{size:,} {name}" for name, size in task.sizes.items())
    precision = f"{train.precision}{_slower(devices, train.precision)}"
    parts = f" in {train.gradient_accumulation_steps} parts each" if train.gradient_accumulation_steps > 1 else ""
    learned = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    rows = {
        "network": f"{cost.parameters:,} parameters, {cost.macs:,} MACs per image",
        "images": f"{sizes}; {len(task.labels)} classes; the network sees {'x'.join(map(str, model.input_shape[1:]))}",
        **task.images.overview(),
        "devices": f"{type(strategy).__name__}: {', '.join(devices)}; {precision}",
        "batch": f"{train.batch_size} = {replicas} x {train.batch_size // replicas}{parts}",
        "steps": f"{train.total_steps:,} ({epochs:.1f} epochs), {train.schedule} schedule from {train.peak_rate:g}",
    }
    if _on_cpus(devices):
        rows["processor"] = describe()
    if learned < cost.parameters:
        rows["learns"] = f"{learned:,} of the parameters"
    if began_from:
        rows["starts from"] = began_from
    rows["workdir"] = workdir
    if step:
        rows["resuming"] = f"from step {step:,}"
    return f"Training {config.model.name} on {config.data.name}", rows


def _on_cpus(devices):
    return all(device.startswith("CPU") for device in devices)


def _slower(devices, precision):
    """Returns a note if the processor emulates the precision, else ""."""
    emulated = _on_cpus(devices) and "bfloat16" in precision and emulates_bfloat16()
    return ", which this processor emulates: slower than float32" if emulated else ""
