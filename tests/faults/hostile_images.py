"""Sends mutated images to an exported model, in a process that knows nothing of this package.

    python -I tests/faults/hostile_images.py SAVED_MODEL COUNT

Half go alone and are timed, the others in batches of 32 with good ones. Prints as JSON: how many rows had which status,
the 99th percentile of a reply in ms, how much memory grew, and how far good rows were from what they are alone.
"""

import collections
import io
import json
import random
import sys
import time

import numpy as np
import psutil
import tensorflow as tf
from PIL import Image


def seeds():
    """Pictures of every kind that is read, and of some that are not."""
    rows, columns = np.mgrid[:90, :120]
    photo = Image.fromarray(np.stack([2 * rows, 2 * columns, 255 - rows - columns], -1).astype(np.uint8))
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (50, 70, 3)).astype(np.uint8))
    found = []
    for image in (photo, noise):
        for mode, kind, options in [
            ("RGB", "JPEG", {}),
            ("RGB", "JPEG", {"progressive": True}),
            ("L", "JPEG", {}),
            ("CMYK", "JPEG", {}),
            ("RGB", "PNG", {}),
            ("RGBA", "PNG", {}),
            ("P", "PNG", {}),
            ("I;16", "PNG", {}),
            ("P", "GIF", {"save_all": True, "append_images": [image.convert("P").rotate(90)] * 3}),
            ("RGB", "BMP", {}),
        ]:
            stream = io.BytesIO()
            deep = np.asarray(image.convert("L"), np.uint16) * 257  # of the whole range: near black is refused
            converted = Image.fromarray(deep) if mode == "I;16" else image.convert(mode)
            converted.save(stream, kind, **options)
            found.append(stream.getvalue())
    return found


def mutated(content, chance):
    """Flipped bits (most in the first bytes, where the headers are), cuts, insertions, repeated parts."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not content:
            break
        end = min(len(content), chance.choice((32, 64, 700, len(content))))
        at = chance.randrange(end)
        kind = chance.random()
        if kind < 0.6:
            content[at] ^= 1 << chance.randrange(8)
        elif kind < 0.75:
            content[at] = chance.choice((0, 255, 0x7F, 0x80))
        elif kind < 0.85:
            del content[at : at + chance.choice((1, 4, len(content)))]
        elif kind < 0.95:
            content[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 8, 64))))
        else:
            content[at:at] = content[at : at + 200]
    return bytes(content)


def main(path, count):
    """Prints what came of `count` mutated images."""
    answer = tf.saved_model.load(path).signatures["serving_default"]
    chance, pictures, process = random.Random(0), seeds(), psutil.Process()
    alone = [answer(image_bytes=tf.constant([picture]))["scores"].numpy()[0] for picture in pictures]
    answer(image_bytes=tf.constant(pictures * 2))
    before = most = process.memory_info().rss
    statuses, times, worst, batches = collections.Counter(), [], 0.0, 0
    images = [mutated(chance.choice(pictures), chance) for _ in range(count)]
    for image in images[: count // 2]:
        began = time.perf_counter()
        outputs = answer(image_bytes=tf.constant([image]))
        times.append(time.perf_counter() - began)
        statuses.update(outputs["status"].numpy().tolist())
        assert all(value.shape[0] == 1 for value in outputs.values())
        most = max(most, process.memory_info().rss)
    rest = images[count // 2 :]
    while rest:
        bad, rest = rest[:20], rest[20:]
        good = [chance.randrange(len(pictures)) for _ in range(32 - len(bad))]
        order = list(range(32))
        chance.shuffle(order)
        contents = [*bad, *(pictures[i] for i in good)]
        outputs = answer(image_bytes=tf.constant([contents[i] for i in order]))
        scores, status = outputs["scores"].numpy(), outputs["status"].numpy()
        for place, i in enumerate(order):
            if i < len(bad):
                statuses[status[place]] += 1
                assert (status[place] == b"OK") == bool(scores[place].any())
            else:
                assert status[place] == b"OK"
                worst = max(worst, float(np.abs(scores[place] - alone[good[i - len(bad)]]).max()))
        batches += 1
        most = max(most, process.memory_info().rss)
    print(
        json.dumps(
            {
                "rows": sum(statuses.values()),
                "statuses": {status.decode(): n for status, n in statuses.items()},
                "seeds": len(pictures),
                "batches": batches,
                "p99_ms": 1000 * float(np.percentile(times, 99)),
                "max_ms": 1000 * max(times),
                "grown_mib": (most - before) / 2**20,
                "worst_neighbour": worst,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
