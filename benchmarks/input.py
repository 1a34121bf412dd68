"""Images per second that one core prepares for training at 224 px, from JPEG files.

    python benchmarks/input.py [images] [repeats] [files] [scale]
    python benchmarks/input.py formats [files] [repeats]

The files are of 500x375 pixels times `scale`, 1 where it is not given.

1. the least there is to do: `tf.image.decode_and_crop_jpeg` at the boxes that the pipeline chooses, bytes in memory;
2. that and `tf.image.resize`: what TensorFlow's kernels allow at the most;
3. this package's pipeline, files to batches: crop random_resized, flip;
4. Pillow on the same files, boxes and share of flips: open, convert, crop, resize (which averages where it shrinks;
   ours takes the four nearest pixels), flip, into a batch of float32 in NumPy; one thread.

Files are pieces of scikit-learn's two photographs at quality 90, in a temporary folder. The process keeps to one core,
and its processor time is counted, so that others on that core do not decide. In turn, ratios repeat by repeat; where 3
is under 0.9 times 1, or under twice 4, it prints where the time goes. Starting the pipeline counts too: 0.04 s.

With `formats`: the time to decode whole images of 500x375 pixels by `keras_resnet.data.decode.decode`, in memory, in
each format that it reads, in turn, and with other libraries where they are installed (imagecodecs, tifffile,
pillow_heif).
"""

import importlib.util
import io
import os
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image, ImageOps

SIZE, BATCH, QUALITY = 224, 32, 90
GOALS = {"decoding alone": 0.9, "Pillow": 2.0}


def write_photographs(folder, count, scale):
    """Pieces of 500x375 and 375x500 pixels at scales around the photographs' own, times `scale`, in two classes."""
    from sklearn.datasets import load_sample_images

    photographs, random = load_sample_images(), np.random.RandomState(0)
    for i in range(count):
        which = i % len(photographs.images)
        picture = Image.fromarray(photographs.images[which])
        width, height = (375 * scale, 500 * scale) if i % 4 == 3 else (500 * scale, 375 * scale)
        larger = max(width / picture.width, height / picture.height) * random.uniform(1, 1.5)
        picture = picture.resize([round(side * larger + 0.5) for side in picture.size], Image.Resampling.LANCZOS)
        left, top = (random.randint(0, room + 1) for room in (picture.width - width, picture.height - height))
        label = os.path.splitext(os.path.basename(photographs.filenames[which]))[0]
        os.makedirs(os.path.join(folder, label), exist_ok=True)
        path = os.path.join(folder, label, f"{i:05d}.jpg")
        picture.crop((left, top, left + width, top + height)).save(path, quality=QUALITY)


def load(folder, images):
    from keras_resnet.config import Config
    from keras_resnet.task import load_task

    data = {"name": f"folder:{folder}", "image_size": SIZE, "crop": "random_resized", "horizontal_flip": True}
    train = {"steps": images // BATCH, "batch_size": BATCH}
    config = {"model": {"name": "resnet50"}, "data": data, "train": train, "export": {"top_k": 1}}
    return load_task(Config.model_validate(config))


def samples(task, images):
    """(files (N,), boxes (N, 4) as top, left, height, width, seeds (N, 2)) of the pipeline's first samples."""
    import tensorflow as tf

    from keras_resnet.data import augmentation, pipeline, transforms

    split, seed, data = task.images.split("train"), task.config.train.seed, task.config.data
    files, seeds, boxes = [], [], []
    decode_crop, resized = transforms.decode_crop, transforms.resized
    # What is left of the pipeline between choosing a box and decoding it.
    transforms.decode_crop = lambda image, choose, *_: choose(*tf.unstack(tf.image.extract_jpeg_shape(image)[:2]))
    transforms.resized = lambda box, size: box
    for at in range(images):
        index = int(pipeline.shuffled(at % split.size, at // split.size, split.size, seed))
        files.append(split.source(index))
        seeds.append(tf.constant([seed, at], tf.int64))
        cropping = data.model_copy(update={"horizontal_flip": False})
        boxes.append(augmentation.augment(split.read(index)[0], SIZE, 3, cropping, seeds[-1]).numpy())
    transforms.decode_crop, transforms.resized = decode_crop, resized
    return files, np.stack(boxes), tf.stack(seeds)


def mapped(function, *columns):
    """() -> seconds in which tf.data applies a function to every row and throws the results away."""
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices(columns)
    results = rows.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def seconds():
        began = time.process_time()
        int(results.reduce(0, lambda total, image: total + tf.shape(image)[0]))
        return time.process_time() - began

    return seconds


def pipeline_seconds(task):
    from keras_resnet.data.pipeline import Shard

    batches, began = task.train_dataset(0, Shard(0, 1, BATCH)), time.process_time()
    for _ in batches:
        pass
    return time.process_time() - began


def pillow_seconds(files, boxes):
    random, began = np.random.RandomState(0), time.process_time()
    for at, (path, (top, left, height, width)) in enumerate(zip(files, boxes.tolist(), strict=True)):
        if at % BATCH == 0:
            batch = np.empty((BATCH, SIZE, SIZE, 3), np.float32)
        picture = Image.open(path).convert("RGB").crop((left, top, left + width, top + height))
        picture = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        batch[at % BATCH] = np.asarray(ImageOps.mirror(picture) if random.rand() < 0.5 else picture)
    return time.process_time() - began


def decode(content, box):
    import tensorflow as tf

    return tf.image.decode_and_crop_jpeg(content, box, channels=3)


def stages(task, contents, boxes, seeds):
    """{what is done up to here: () -> seconds}, each stage with those before it."""
    from keras_resnet.data import augmentation, transforms

    def augmented(flip, resized=transforms.resized):
        data, whole = task.config.data.model_copy(update={"horizontal_flip": flip}), transforms.resized
        transforms.resized = resized
        seconds = mapped(lambda image, seed: augmentation.augment(image, SIZE, 3, data, seed), contents, seeds)
        transforms.resized = whole
        return seconds

    return {
        "decode": mapped(decode, contents, boxes),
        "choose the box": augmented(False, lambda image, size: image),
        "resize": augmented(False),
        "flip": augmented(True),
        "order, file, label, batch": lambda: pipeline_seconds(task),
    }


def report(times, images):
    """Prints rates and ratios; returns whether every goal is met."""
    met = True
    for name, column in times.items():
        line = f"{name:<18} {images / statistics.median(column):7.0f} images/s"
        if name == "decode and resize":
            ratios = [least / both for least, both in zip(times["decoding alone"], column, strict=True)]
            line += f"   {statistics.median(ratios):.2f} times decoding alone ({min(ratios):.2f} to {max(ratios):.2f})"
        if name in GOALS:
            ratios = [theirs / ours for ours, theirs in zip(times["this pipeline"], column, strict=True)]
            met &= statistics.median(ratios) >= GOALS[name]
            line += f"   this pipeline is {statistics.median(ratios):.2f} times as fast"
            line += f" ({min(ratios):.2f} to {max(ratios):.2f}; goal {GOALS[name]})"
        print(line)
    return met


def main(images=2880, repeats=5, files=200, scale=1):
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before TensorFlow counts the cores
    else:
        print("this system cannot keep a process to one core: the figures are of all cores")
    images = max(images // BATCH, 1) * BATCH
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(folder, files, scale)
        task = load(folder, images)
        from keras_resnet.data import transforms

        paths, boxes, seeds = samples(task, images)
        contents = []
        for path in paths:
            with open(path, "rb") as file:
                contents.append(file.read())
        print(f"{images} images of {files} files, {np.mean([len(each) for each in contents]) / 1000:.0f} kB on average")
        steps = stages(task, contents, boxes, seeds)
        sides = {
            "this pipeline": lambda: pipeline_seconds(task),
            "decoding alone": steps["decode"],
            "decode and resize": mapped(
                lambda content, box: transforms.resized(decode(content, box), SIZE), contents, boxes
            ),
            "Pillow": lambda: pillow_seconds(paths, boxes),
        }
        for seconds in sides.values():
            seconds()
        rows = [[seconds() for seconds in sides.values()] for _ in range(repeats)]
        if not report(dict(zip(sides, zip(*rows, strict=True), strict=True)), images):
            explain(steps, images, repeats)


def explain(steps, images, repeats):
    """Prints what each stage adds, in milliseconds an image."""
    rows = [[seconds() for seconds in steps.values()] for _ in range(repeats + 1)][1:]
    up_to = [1000 * statistics.median(column) / images for column in zip(*rows, strict=True)]
    for name, after, before in zip(steps, up_to, [0.0, *up_to], strict=False):
        print(f"  {name:<26} {after - before:+.3f} ms an image")


def formats(files=100, repeats=5):
    """Prints the milliseconds to decode an image in each format, medians over repeats."""
    import tensorflow as tf

    from keras_resnet.data.decode import decode
    from keras_resnet.processor import instruction_sets

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(folder, files, 1)
        paths = sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
        photographs = [Image.open(path).convert("RGB") for path in paths]
    graph = tf.function(
        lambda content: decode(content, 3), input_signature=[tf.TensorSpec((), tf.string)], autograph=False
    )
    columns = {}
    for name, (kind, options) in FORMATS.items():
        if kind == "HEIF" and not _has("pillow_heif"):
            continue
        contents = [_saved(each, kind, **options) for each in photographs]
        columns[name, "this package"] = contents, lambda content: graph(tf.constant(content))
        for library, decoder in _other_decoders(name):
            columns[name, library] = contents, decoder
    times = {key: [] for key in columns}
    for repeat in range(repeats + 1):
        for key, (contents, decoder) in columns.items():
            began = time.process_time()
            for content in contents:
                decoder(content)
            if repeat:  # the first pass loads libraries and traces the graph
                times[key].append(1000 * (time.process_time() - began) / files)
    vectors = sorted(each for each in instruction_sets() if each.startswith(("avx", "amx")))
    print(f"{files} images of 500x375; {', '.join(vectors)}")
    for (name, library), column in times.items():
        size = np.mean([len(each) for each in columns[name, library][0]]) / 1000
        milliseconds = f"{statistics.median(column):6.2f} ms ({min(column):.2f} to {max(column):.2f})"
        print(f"{name:<22} {size:5.0f} kB  {library:<14} {milliseconds}")


FORMATS = {
    "JPEG": ("JPEG", {"quality": QUALITY}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {"quality": QUALITY}),
    "TIFF": ("TIFF", {}),
    "TIFF, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "AVIF": ("AVIF", {"quality": QUALITY}),
    "HEIC": ("HEIF", {"quality": QUALITY}),
}


def _saved(picture, kind, **options):
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _has(package):
    return importlib.util.find_spec(package) is not None


def _other_decoders(name):
    """Yields (library, function of the bytes) of the other decoders of a format."""
    plugins = {"WebP": "WEBP", "HEIC": "HEIF"}
    plugin = plugins.get(name, name.partition(",")[0])
    yield "Pillow", lambda content: np.asarray(Image.open(io.BytesIO(content), formats=[plugin]).convert("RGB"))
    if name.startswith("TIFF") and _has("tifffile"):
        import tifffile

        yield "tifffile", lambda content: tifffile.imread(io.BytesIO(content))
    elif _has("imagecodecs") and name not in ("PNG", "HEIC"):  # its wheels have no decoder of HEIC
        import imagecodecs

        decoder = {"JPEG": "jpeg8", "WebP": "webp", "AVIF": "avif"}[name]
        yield "imagecodecs", getattr(imagecodecs, f"{decoder}_decode")


if __name__ == "__main__":
    if sys.argv[1:2] == ["formats"]:
        formats(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
