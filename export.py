"""Exports a trained network: a SavedModel for TF Serving, .tflite files for LiteRT, an ONNX file.

    python export.py --workdir=runs/latest --output=exports/digits
    python export.py --workdir=RUN --output=OUT --formats=saved_model,litert,onnx --precision=float32,float16,int8
    python export.py --weights=FILE_OR_NAME --output=OUT --labels=LABELS.txt

Writes OUTPUT/<version>/ (SavedModel, labels, warm-up requests, export_report.json), OUTPUT/litert/<version>*.tflite and
OUTPUT/onnx/<version>.onnx, and proves that all agree with the network. docs/serving.md tells what they answer.
"""

from absl import flags

from keras_resnet.commands import entry
from keras_resnet.commands.export import Source, export
from keras_resnet.commands.weights_flags import preprocessing
from keras_resnet.export.formats import plan

WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder, as train.py made it.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "Of the run: best (by validation), last, or a step.")
WEIGHTS = flags.DEFINE_string("weights", None, "Instead of a run: a file of weights, or a name of published ones.")
LABELS = flags.DEFINE_string("labels", None, "With --weights: a file with a class's name a line.")
IMAGES = flags.DEFINE_string(
    "images", None, "A folder of images to compare on, and to calibrate int8; default a run's own, else photographs."
)
OUTPUT = flags.DEFINE_string("output", None, "The folder that TF Serving is pointed at; versions lie inside.")
VERSION = flags.DEFINE_integer("version", None, "A number that is free; default the next.", lower_bound=1)
FORMATS = flags.DEFINE_list("formats", ["saved_model", "litert"], "Of saved_model, litert, onnx.")
PRECISION = flags.DEFINE_list(
    "precision", ["float32"], "Of float32, bfloat16 (SavedModel), float16, dynamic (LiteRT), int8 (LiteRT, ONNX)."
)
LITERT_INTERFACE = flags.DEFINE_string(
    "litert_interface", "float32", "Image and scores of the int8 LiteRT file of batch 1: float32, uint8, int8."
)
OPTIMIZE = flags.DEFINE_string("optimize", "fold", "fold: normalization in the convolutions; none: as it is.")
STAGES = flags.DEFINE_bool("stages", False, "Also a signature for the outputs of the network's stages.")
SERVING_KIT = flags.DEFINE_string("serving_kit", None, "Also a folder with TF Serving's settings, clients and a test.")
MODEL_NAME = flags.DEFINE_string("model_name", None, "Under which clients ask; default the output folder's name.")
SET = flags.DEFINE_multi_string("set", [], "export.key=value, such as export.top_k=3; repeat for more.")


def main(positional):
    """Exports what the flags say."""
    entry.no_arguments(positional)
    source = Source(
        workdir=WORKDIR.value,
        checkpoint=CHECKPOINT.value,
        weights=WEIGHTS.value,
        labels=LABELS.value,
        images=IMAGES.value,
        settings=tuple(SET.value),
        preprocessing=preprocessing(),
    )
    what = plan(
        FORMATS.value,
        PRECISION.value,
        OPTIMIZE.value,
        LITERT_INTERFACE.value,
        stages=STAGES.value,
        version=VERSION.value,
    )
    export(source, OUTPUT.value, what, SERVING_KIT.value, MODEL_NAME.value)


if __name__ == "__main__":
    entry.main(main, usage=__doc__)
