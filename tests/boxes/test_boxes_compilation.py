"""Every function under XLA, and inference in LiteRT without TensorFlow's operators."""

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.anchors import level_anchors
from keras_resnet.boxes.coding import clip, decode, encode, inside_image
from keras_resnet.boxes.matching import match
from keras_resnet.boxes.nms import class_nms, take
from keras_resnet.boxes.roi_align import assign_levels, roi_align
from keras_resnet.boxes.roi_pool import roi_pool
from keras_resnet.boxes.sampling import sample

ANCHORS = level_anchors((6, 8), 8, [16], [0.5, 1, 2])
RPN = {"positive_iou": 0.7, "negative_iou": (0.0, 0.3), "allow_low_quality_matches": True}


def random_boxes(count, seed, batch=2):
    random = np.random.RandomState(seed)
    corners = random.uniform(0, 40, (batch, count, 2))
    return np.concatenate([corners, corners + random.uniform(8, 30, corners.shape)], axis=-1).astype(np.float32)


def targets(objects, valid, ignore):
    matches = match(ANCHORS, objects, valid, ignore, inside_image(ANCHORS, (48, 64)), **RPN)
    matched = tf.gather(objects, matches.objects, batch_dims=1)
    return *matches, encode(matched, ANCHORS)


def detect(proposals, deltas, scores, classes):
    """Boxes, scores and number of what is found."""
    boxes = clip(decode(deltas, proposals, (10.0, 10.0, 5.0, 5.0)), (48, 64))
    found = class_nms(boxes, scores, classes, 10, 0.5, 0.3)
    return take(found, boxes), take(found, scores), found.counts


def pool(p3, p4, boxes):
    return roi_align([p3, p4], [8, 16], boxes, assign_levels(boxes, 3, 4, 24, 4), output_size=3)


def feature_maps(batch):
    random = np.random.RandomState(0)
    shapes = {"p3": (batch, 6, 8, 4), "p4": (batch, 3, 4, 4)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def head_outputs(batch):
    """Inputs of `detect` by name: two proposals of one class for each of six objects."""
    random = np.random.RandomState(0)
    return {
        "proposals": np.repeat(random_boxes(6, 1, batch), 2, axis=1),
        "deltas": random.normal(0, 0.3, size=(batch, 12, 4)).astype(np.float32),
        "scores": random.permutation(12 * batch).reshape(batch, 12).astype(np.float32) / (12 * batch),
        "classes": np.repeat(random.randint(0, 3, (batch, 6)), 2, axis=1).astype(np.int32),
    }


def assert_equal_results(ours, expected):
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_xla_computes_the_same_targets():
    objects = random_boxes(4, 0)
    objects[0, 0] = [8, 8, 24, 24]  # as good for several anchors
    inputs = [tf.constant(each) for each in (objects, [[True] * 3 + [False]] * 2, [[False, False, True, False]] * 2)]
    expected = targets(*inputs)
    assert set(np.unique(expected[0])) == {-1, 0, 1}
    assert_equal_results(tf.function(targets, jit_compile=True, autograph=False)(*inputs), expected)


def test_xla_computes_the_same_detections():
    inputs = {name: tf.constant(each) for name, each in head_outputs(2).items()}
    expected = detect(**inputs)
    assert all(0 < found < above for found, above in zip(expected[2], np.sum(inputs["scores"] > 0.3, 1), strict=True))
    assert_equal_results(tf.function(detect, jit_compile=True, autograph=False)(**inputs), expected)


def test_xla_samples_by_the_seed():
    """XLA draws other numbers from a seed; the rows depend on nothing else."""
    labels = tf.constant(np.random.RandomState(0).randint(-1, 2, (2, 100)))
    compiled = tf.function(lambda labels, seeds: sample(labels, seeds, 16, 0.25), jit_compile=True, autograph=False)
    chosen = compiled(labels, tf.constant([[1, 2], [3, 4]]))
    drawn = tf.gather(labels, chosen.indices, batch_dims=1).numpy()
    np.testing.assert_array_equal(drawn, [[1] * 4 + [0] * 12] * 2)
    assert all(len(set(row)) == 16 for row in chosen.indices.numpy())
    swapped = compiled(labels[::-1], tf.constant([[3, 4], [1, 2]]))
    np.testing.assert_array_equal(swapped.indices[::-1], chosen.indices)


@pytest.mark.slow
def test_xla_computes_the_same_features_and_gradients():
    boxes, maps = tf.constant(random_boxes(12, 1)), [tf.constant(each) for each in feature_maps(2).values()]

    def features_and_gradients(p3, p4):
        with tf.GradientTape() as tape:
            tape.watch([p3, p4])
            features = tf.concat([pool(p3, p4, boxes), roi_pool(p3, 8, boxes, 3)], axis=1)
            loss = tf.reduce_sum(features**2)
        return features, *tape.gradient(loss, [p3, p4])

    compiled = tf.function(features_and_gradients, jit_compile=True, autograph=False)
    assert_equal_results(compiled(*maps), features_and_gradients(*maps))


def operators(content):
    """The names of all operators of a LiteRT file. The interpreter lists those outside loops only."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    codes = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)).operatorCodes
    return {names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in codes}


def test_litert_computes_the_same_detections_with_its_own_operators():
    """CUSTOM is the operator of all that is not LiteRT's own, TensorFlow's included."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")

    def detect_and_pool(p3, p4, **outputs):
        found = detect(**outputs)
        return *found, pool(p3, p4, found[0]), roi_pool(p3, 8, found[0], 3)

    inputs = {**feature_maps(1), **head_outputs(1)}
    specs = {name: tf.TensorSpec(each.shape, each.dtype, name) for name, each in inputs.items()}
    module = tf.Module()
    module.detect = tf.function(detect_and_pool, autograph=False).get_concrete_function(**specs)
    content = tf.lite.TFLiteConverter.from_concrete_functions([module.detect], module).convert()
    names = operators(content)
    assert "NON_MAX_SUPPRESSION_V4" in names
    assert "CUSTOM" not in names
    interpreter = litert.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    outputs = interpreter.get_signature_runner()(**inputs)
    assert_equal_results([outputs[f"output_{number}"] for number in range(5)], detect_and_pool(**inputs))
