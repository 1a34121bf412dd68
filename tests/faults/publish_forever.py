"""Publishes small SavedModels one after the other, as export.py does.

    python tests/faults/publish_forever.py OUTPUT FIRST COUNT

Each answers with a number of its own, from FIRST on, which its labels and its other files hold too.
"""

import os
import sys

import tensorflow as tf

from keras_resnet.export.publishing import publish, staged


def main(output, first, count):
    """Publishes so many."""
    for number in range(first, first + count):
        with staged(output) as staging:
            module = tf.Module()
            module.answer = tf.function(lambda number=number: {"number": tf.constant(number)}, input_signature=[])
            tf.saved_model.save(module, f"{staging}/saved_model", signatures={"serving_default": module.answer})
            os.makedirs(f"{staging}/saved_model/assets.extra")
            os.makedirs(f"{staging}/litert")
            for name in ("saved_model/assets.extra/labels.txt", "litert/version.tflite", "litert/version-int8.tflite"):
                with open(os.path.join(staging, name), "w", encoding="utf-8") as file:
                    file.write(str(number))
            publish(staging, output)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
