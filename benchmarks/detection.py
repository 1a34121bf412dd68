"""Faster R-CNN with ResNet-50 and a feature pyramid: training step and inference, and the input pipeline.

    python benchmarks/detection.py steps [batch] [side] [repeats] [PYTHON]
    python benchmarks/detection.py latency [side] [repeats] [PYTHON]
    python benchmarks/detection.py input [images] [side] [repeats]
    python benchmarks/detection.py memory [side] [rois] [batch]

`steps`: images per second at SIDE pixels, 512 where it is not given, on one fixed batch. PYTHON is an interpreter that
has Torch and torchvision: it runs `torchvision_detector.py`, eager, in a process of its own that waits while ours is
measured. Both have 90 classes, frozen normalization, stem and first stage, 256 anchors and 512 RoIs per image in the
losses, and 1000 proposals. The counts of parameters differ: torchvision does not count normalization, and has deltas of
the background. Weights are random: no score is above the threshold, so that the last suppression has nothing to do on
either side. XLA is used where a run uses it by default: on one GPU, on no CPU.

`latency`: of one image of SIDE pixels, as tensors, 512 where it is not given: torchvision's detector, eager, its ONNX
export in onnxruntime, and `keras-resnet export` of the same weights. With 100 detections, which are compared.

`input`: images per second that one core prepares at SIDE pixels, 800 where it is not given, from JPEGs of 640x480
pixels with 8 boxes, in COCO's format; processor time, beside Pillow on the same files (open, convert, resize, flip,
into a batch of float32) and `tf.io.decode_jpeg` alone. Order, boxes and their padding are ours alone.

`memory`: the greatest resident memory of a process that takes two training steps of the paper's detector (C4,
ResNet-101, constant normalization) at SIDE pixels, 600 where it is not given, with 128 RoIs per image, batch 1.

In turn, ratios repeat by repeat. Files are pieces of scikit-learn's two photographs at quality 90.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image, ImageOps

CLASSES, OBJECTS, STEPS, FILES, HEIGHT, WIDTH = 90, 8, 2, 64, 480, 640


def write_coco(folder):
    """Writes photographs with random boxes in COCO's format, for training and validation."""
    from sklearn.datasets import load_sample_images

    photographs, random = load_sample_images().images, np.random.RandomState(0)
    rows, annotations = [], []
    for name in ("train", "val"):
        os.makedirs(os.path.join(folder, name))
    os.makedirs(os.path.join(folder, "annotations"))
    for i in range(FILES):
        size = (round(WIDTH * random.uniform(1, 1.5)), round(HEIGHT * random.uniform(1, 1.5)))
        image = Image.fromarray(photographs[i % 2]).resize(size, Image.Resampling.LANCZOS)
        left, top = (random.randint(0, room + 1) for room in (size[0] - WIDTH, size[1] - HEIGHT))
        image = image.crop((left, top, left + WIDTH, top + HEIGHT))
        for name in ("train", "val") if i == 0 else ("train",):
            image.save(os.path.join(folder, name, f"{i:05d}.jpg"), quality=90)
        rows.append({"id": i, "file_name": f"{i:05d}.jpg", "height": HEIGHT, "width": WIDTH})
        for x, y, width, height in random.uniform((0, 0, 40, 40), (300, 200, 300, 250), (OBJECTS, 4)).tolist():
            found = {"id": len(annotations), "image_id": i, "category_id": int(random.randint(CLASSES))}
            annotations.append(found | {"bbox": [x, y, width, height]})
    categories = [{"id": i, "name": f"class {i}"} for i in range(CLASSES)]
    for name, images in (("train", rows), ("val", rows[:1])):
        of_images = [each for each in annotations if each["image_id"] < len(images)]
        content = {"images": images, "annotations": of_images, "categories": categories}
        with open(os.path.join(folder, "annotations", f"{name}.json"), "w", encoding="utf-8") as file:
            json.dump(content, file)


def load(folder, batch, side, steps, name="resnet50", detector=None):
    from keras_resnet.config.detection import DetectionConfig
    from keras_resnet.task import load_task

    train = {"steps": steps, "batch_size": batch, "learning_rate": 1e-4, "batch_norm": "constant"}
    config = {
        "model": {"name": name, "version": "1.5", "zero_init_last_gamma": True},
        "detector": detector or {},
        "data": {"name": f"coco:{folder}", "image_size": side, "horizontal_flip": True},
        "train": train | {"freeze_at": "stage1"},
    }
    return load_task(DetectionConfig.model_validate(config))


def our_steps(task):
    """Returns ({"train", "detect": () -> seconds of a step}, the number of parameters)."""
    import tensorflow as tf

    from keras_resnet.analysis.complexity import count_parameters
    from keras_resnet.data.pipeline import training_batches
    from keras_resnet.training.optimizer import build_model_and_optimizer
    from keras_resnet.training.steps import make_train_step
    from keras_resnet.training.strategy import compiles_by_default, make_strategy

    strategy = make_strategy("one_device")
    model, optimizer = build_model_and_optimizer(task, strategy)
    step = make_train_step(task, model, optimizer, strategy, compiles_by_default(strategy))
    batch = next(training_batches(task, strategy, 0))
    images = batch[0][0]
    detect = tf.function(model.detect, autograph=False)
    work = {"train": lambda: float(step(batch)["loss"]), "detect": lambda: int(detect(images).counts[0])}
    for each in work.values():
        each()

    return {name: lambda each=each: timed(each) for name, each in work.items()}, count_parameters(model)


def timed(function):
    """Returns the seconds of a call."""
    began = time.perf_counter()
    for _ in range(STEPS):
        function()
    return (time.perf_counter() - began) / STEPS


def torchvision_steps(python, *arguments):
    """Returns ({"train", "detect": () -> seconds of a step}, the number of parameters, the process)."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torchvision_detector.py")
    pipe = subprocess.PIPE
    process = subprocess.Popen([python, script, *map(str, arguments)], stdin=pipe, stdout=pipe, text=True)
    first = process.stdout.readline()
    if not first:
        sys.exit(f"{python}: cannot run {script}")

    def seconds(name):
        process.stdin.write(f"{name} {STEPS}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return {name: lambda name=name: seconds(name) for name in ("train", "detect")}, int(first), process


def steps(batch=4, side=512, repeats=5, python=None):
    from keras_resnet.processor import describe

    with tempfile.TemporaryDirectory() as folder:
        write_coco(folder)
        ours, parameters = our_steps(load(folder, int(batch), int(side), 10**6))
    sides = {"keras_resnet": ours}
    print(describe())
    print(f"Faster R-CNN, R-50 FPN, {side} px, batch {batch}: {parameters:,} parameters")
    if python:
        sides["torchvision"], parameters, process = torchvision_steps(python, batch, side)
        print(f"torchvision's: {parameters:,}")
    for name in ("train", "detect"):
        times = {side: [] for side in sides}
        for _ in range(int(repeats)):
            for side, column in times.items():
                column.append(sides[side][name]())
        print(name)
        report(times, int(batch), "keras_resnet")
    if python:
        process.communicate()


def latency(side=512, repeats=5, python=sys.executable):
    import onnxruntime

    from keras_resnet.commands.models import open_model
    from keras_resnet.data.photographs import cut_squares
    from keras_resnet.processor import describe

    side = int(side)
    image = np.asarray(Image.fromarray(next(cut_squares(1))).resize((side, side), Image.Resampling.BILINEAR))
    with tempfile.TemporaryDirectory() as folder:
        np.save(os.path.join(folder, "image.npy"), image)
        eager, _, process = torchvision_steps(python, 1, side, folder)
        weights, exported = os.path.join(folder, "weights.safetensors"), os.path.join(folder, "exported")
        command = [sys.executable, "-m", "keras_resnet", "export", f"--weights={weights}", f"--output={exported}"]
        formats = ("saved_model", "litert", "onnx")
        subprocess.run([*command, f"--image_size={side}", f"--formats={','.join(formats)}"], check=True)
        theirs = onnxruntime.InferenceSession(os.path.join(folder, "torchvision.onnx"))
        pixels = {theirs.get_inputs()[0].name: image.transpose(2, 0, 1).astype(np.float32) / 255}
        files = {"saved_model": "1", "litert": "litert/1-batch1.tflite", "onnx": "onnx/1.onnx"}
        ours = {name: open_model(os.path.join(exported, files[name]), threads=os.cpu_count()) for name in formats}
        compare(theirs.run(None, pixels), {name: each.detections(image[None]) for name, each in ours.items()})
        sides = {"SavedModel": "saved_model", "LiteRT": "litert", "ONNX": "onnx"}
        work = {title: lambda each=ours[name]: each.detections(image[None]) for title, name in sides.items()}
        work["torchvision's ONNX"] = lambda: theirs.run(None, pixels)
        times = {name: [] for name in ("SavedModel", "LiteRT", "ONNX", "torchvision", "torchvision's ONNX")}
        for _ in range(int(repeats)):
            for name, column in times.items():
                column.append(eager["detect"]() if name == "torchvision" else timed(work[name]))
        process.communicate()
    print(describe())
    print(f"Faster R-CNN, R-50 FPN, one image of {side} px")
    report(times, 1, "SavedModel")


def compare(theirs, ours):
    """Prints how far the detections of exports are from torchvision's: x1 y1 x2 y2, categories and scores."""
    from keras_resnet.detectors import COCO_CATEGORIES, COCO_LABELS
    from keras_resnet.export.comparisons.detections import cells, compared

    boxes, categories, scores = theirs
    classes = [COCO_LABELS.index(COCO_CATEGORIES[category - 1]) for category in categories]
    theirs = {"boxes": boxes[:, [1, 0, 3, 2]], "classes": np.array(classes), "scores": scores}
    theirs = {name: values[None] for name, values in theirs.items()} | {"num_detections": np.array([len(scores)])}
    for name, found in ours.items():
        found = {each: values[:, : len(scores)] if values.ndim > 1 else values for each, values in found.items()}
        print(f"  {name}: {', '.join(f'{key} {text}' for key, text in cells(compared(found, theirs, 1)).items())}")


def pipeline_seconds(task, batch):
    from keras_resnet.data.pipeline import Shard

    batches, began = task.train_dataset(0, Shard(0, 1, batch)), time.process_time()
    for _ in batches:
        pass
    return time.process_time() - began


def decoding_seconds(paths):
    import tensorflow as tf

    files = tf.data.Dataset.from_tensor_slices(paths)
    images = files.map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3), num_parallel_calls=tf.data.AUTOTUNE
    )
    began = time.process_time()
    int(images.reduce(0, lambda total, image: total + tf.shape(image)[0]))
    return time.process_time() - began


def pillow_seconds(paths, side, batch):
    random, began = np.random.RandomState(0), time.process_time()
    for i, path in enumerate(paths):
        if i % batch == 0:
            images = np.zeros((batch, side, side, 3), np.float32)
        image = Image.open(path).convert("RGB")
        ratio = side / max(image.size)
        image = image.resize([round(length * ratio) for length in image.size], Image.Resampling.BILINEAR)
        image = ImageOps.mirror(image) if random.rand() < 0.5 else image
        images[i % batch, : image.height, : image.width] = np.asarray(image)
    return time.process_time() - began


def input_pipeline(images=256, side=800, repeats=5, batch=8):
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before TensorFlow counts the cores
    else:
        print("this system cannot keep a process to one core: the figures are of all cores")
    images, side = max(int(images) // batch, 1) * batch, int(side)
    with tempfile.TemporaryDirectory() as folder:
        write_coco(folder)
        task = load(folder, batch, side, images // batch)
        paths = [os.path.join(folder, "train", f"{i % FILES:05d}.jpg") for i in range(images)]
        sides = {
            "this pipeline": lambda: pipeline_seconds(task, batch),
            "decoding alone": lambda: decoding_seconds(paths),
            "Pillow": lambda: pillow_seconds(paths, side, batch),
        }
        for seconds in sides.values():
            seconds()
        times = {name: [] for name in sides}
        for _ in range(int(repeats)):
            for name, seconds in sides.items():
                times[name].append(seconds())
    print(f"{images} images of {WIDTH}x{HEIGHT} pixels with {OBJECTS} boxes, for {side} px, one core")
    report(times, images, "this pipeline")


def memory(side=600, rois=128, batch=1):
    """Measures a process of its own: what this one has loaded does not count."""
    arguments = ["memory_of_steps", str(side), str(rois), str(batch)]
    subprocess.run([sys.executable, os.path.abspath(__file__), *arguments], check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"C4, R-101, {side} px, batch {batch}, {rois} RoIs per image: {peak:.2f} GB")


def memory_of_steps(side, rois, batch):
    from keras_resnet.data.pipeline import training_batches
    from keras_resnet.training.optimizer import build_model_and_optimizer
    from keras_resnet.training.steps import make_train_step
    from keras_resnet.training.strategy import make_strategy

    options = {"design": "c4", "pooling": "max", "proposals_before_nms": [12000, 6000], "proposals": [2000, 300]}
    strategy = make_strategy("one_device")
    with tempfile.TemporaryDirectory() as folder:
        write_coco(folder)
        task = load(folder, int(batch), int(side), 10**6, "resnet101", options | {"roi_samples": int(rois)})
        model, optimizer = build_model_and_optimizer(task, strategy)
        step, batch = make_train_step(task, model, optimizer, strategy), next(training_batches(task, strategy, 0))
    step(batch)
    began = time.perf_counter()
    loss = float(step(batch)["loss"])
    print(f"a step of {time.perf_counter() - began:.1f} s, loss {loss:.3f}")


def report(times, images, first):
    """Prints the rate of each column of seconds, and the ratio of the first to it."""
    for name, column in times.items():
        line = f"  {name:<16} {images / statistics.median(column):8.2f} images/s"
        if name != first:
            ratios = [theirs / ours for ours, theirs in zip(times[first], column, strict=True)]
            line += f"   {first} is {statistics.median(ratios):.2f} times as fast"
            line += f" ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line, flush=True)


if __name__ == "__main__":
    parts = {"steps": steps, "latency": latency, "input": input_pipeline, "memory": memory}
    parts["memory_of_steps"] = memory_of_steps
    if len(sys.argv) < 2 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    parts[sys.argv[1]](*sys.argv[2:])
