"""The second stage: proposals of a class, their warped pixels, what is drawn for the loss, and what it answers."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tiny_task

from keras_resnet.boxes.coding import decode
from keras_resnet.config import load_config
from keras_resnet.config.localization import LocalizerOptions
from keras_resnet.description import Description, Preprocessing
from keras_resnet.errors import ConfigError
from keras_resnet.layers import flat_layers
from keras_resnet.localization.dense import dense_locate
from keras_resnet.localization.localizer import Localizer
from keras_resnet.localization.losses import drawn_rois, localization_losses
from keras_resnet.localization.rcnn import BOX_WEIGHTS, Proposals, best_proposals
from keras_resnet.localization.weights import set_localizer
from keras_resnet.specs import SPECS, variant
from keras_resnet.weights.conversion import convert
from keras_resnet.weights.native import named_variables, to_tensors

HEAD = {"channels": 8, "anchor_sizes": [16], "anchor_ratios": [1.0, 2.0], "top_k": 2, "proposals": 5}


def described(**head):
    spec = variant(SPECS["scene_resnet14"], depths=(1, 1, 1))
    preprocessing = Preprocessing(image_size=32, crop_pct=1.0, channels=3)
    return Description(spec=spec, preprocessing=preprocessing, labels=("cat", "dog", "cow"), head=HEAD | head)


@pytest.fixture(scope="module")
def model():
    """A localizer with a second stage, whose layers of classes have large random weights."""
    model, random = Localizer(described(rcnn=True)), np.random.RandomState(0)
    for path, variable in named_variables(model).items():
        if path.endswith(("scores/kernel", "deltas/kernel", "logits/kernel")):
            variable.assign(random.normal(0, 0.3, variable.shape))
    return model


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.RandomState(1).uniform(0, 255, (2, 32, 32, 3)), tf.float32)


def test_proposals_of_a_class_are_its_best_boxes_that_overlap_no_better_one():
    """The second box has an IoU of 0.8 with the first; the classes have other orders."""
    boxes = tf.constant([[[[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30]]] * 2] * 2)
    scores = tf.constant([[[3.0, 2, 1], [1, 2, 3]]] * 2)
    for images in (1, 2):  # one image alone is computed without a loop
        options = LocalizerOptions(proposals=4, proposal_nms_iou=0.7)
        found = best_proposals(boxes[:images], scores[:images], options)
        assert found.counts.numpy().tolist() == [[2, 2]] * images
        for row in found.boxes.numpy():
            assert row[0].tolist() == [[0, 0, 10, 10], [20, 20, 30, 30], [0] * 4, [0] * 4]
            assert row[1].tolist() == [[20, 20, 30, 30], [0, 0, 10, 8], [0] * 4, [0] * 4]


@pytest.mark.parametrize("warp", ["crop", "gather"])
def test_proposal_is_warped_with_its_context(model, warp):
    """A ramp of rows: a box of 8 rows with a quarter around it spans 10; outside of the image is the mean color."""
    ramp = np.tile(np.arange(32, dtype=np.float32)[None, :, None, None], (1, 1, 32, 3))
    model.rcnn.options = model.rcnn.options.model_copy(update={"roi_context": 1.25})
    try:
        boxes = tf.constant([[[10.0, 10, 18, 18], [-60, 0, -30, 20]]])
        inside, outside = model.rcnn.warped(tf.constant(ramp), boxes, warp).numpy()
    finally:
        model.rcnn.options = LocalizerOptions.model_validate(model.description.head)
    assert inside.shape == (32, 32, 3)
    rows = 9 + (np.arange(32) + 0.5) * 10 / 32 - 0.5  # the value of row y is at y + 0.5
    np.testing.assert_allclose(inside[:, 5, 0], rows, atol=1e-3)
    np.testing.assert_allclose(outside, np.broadcast_to(model.rcnn.mean, outside.shape), rtol=1e-5)


def test_answer_is_the_proposal_with_the_highest_score_of_its_class(model, images):
    """Padding never wins; each class has its own layers."""
    boxes = tf.constant([[[[0.0, 0, 16, 16], [8, 8, 30, 30], [4, 0, 20, 12]]] * 2] * 2)
    classes, counts = tf.constant([[0, 2], [1, 1]]), tf.constant([[2, 3], [1, 3]])
    scores, deltas = model.rcnn.classify(images, boxes, classes)
    best, best_scores = model.rcnn.best_boxes(images, Proposals(boxes, counts), classes)
    for row in range(2):
        for place in range(2):
            real = scores[row, place, : int(counts[row, place])].numpy()
            expected = decode(deltas[row, place, real.argmax()], boxes[row, place, real.argmax()], BOX_WEIGHTS)
            np.testing.assert_allclose(best[row, place], np.clip(expected, 0, 32), rtol=1e-4, atol=1e-4)
            assert float(best_scores[row, place]) == pytest.approx(1 / (1 + np.exp(-real.max())), rel=1e-4)
    alone, _ = model.rcnn.best_boxes(images[:1], Proposals(boxes[:1], counts[:1]), classes[:1])
    np.testing.assert_allclose(alone[0], best[0], rtol=1e-4, atol=1e-3)
    features = model.rcnn.network(model.rcnn.warped(images[:1], boxes[:1, 0]))
    own = features.numpy() @ model.rcnn.scores.kernel.numpy()[2] + model.rcnn.scores.bias.numpy()[2]
    np.testing.assert_allclose(scores[0, 1], own[:, 0], rtol=1e-3, atol=1e-4)


def test_dense_test_at_the_size_of_a_crop_equals_the_crop(model, images):
    found, oracle = model.locate_with(images[:1], tf.constant([1]))
    dense, dense_oracle = dense_locate(model)([images[:1]], tf.constant([1]), tf.constant([[32.0, 32.0]]))
    np.testing.assert_array_equal(dense.classes, found.classes)
    np.testing.assert_allclose(dense.boxes, found.boxes, atol=1e-3)
    np.testing.assert_allclose(dense_oracle, oracle, atol=1e-3)


def test_positives_are_drawn_with_their_probability():
    labels = tf.constant([[1, 0, 0, -1, 0, 1]] * 400)
    seeds = tf.constant([[3, i] for i in range(400)])
    options = LocalizerOptions(roi_samples=2, roi_positive_fraction=0.25)
    drawn = drawn_rois(labels, seeds, options)
    assert 0.2 < drawn.positive.numpy().mean() < 0.3
    assert set(drawn.indices.numpy().ravel().tolist()) == {0, 1, 2, 4, 5}
    np.testing.assert_array_equal(drawn.positive, np.isin(drawn.indices, [0, 5]))
    assert drawn.valid.numpy().all()
    for one, other in zip(drawn_rois(labels[:3], seeds[:3], options), drawn, strict=True):
        np.testing.assert_array_equal(one, other[:3])  # a row depends on its seed alone


def test_image_without_positives_gives_a_negative_and_one_without_either_nothing():
    drawn = drawn_rois(tf.constant([[0, -1], [1, -1], [-1, -1]]), tf.constant([[0, i] for i in range(3)]),
                       LocalizerOptions())  # fmt: skip
    assert drawn.positive[:, 0].numpy().tolist() == [False, True, False]
    assert drawn.valid[:, 0].numpy().tolist() == [True, True, False]


def test_second_stage_trains_alone(model, images):
    """Every proposal of a batch is of another image, and the first stage has neither gradients nor new statistics."""
    assert {variable.path[:10] for variable in model.trainable_variables} == {"head/rcnn/"}
    before = to_tensors(named_variables(model))
    boxes, valid = tf.constant([[[4.0, 4, 20, 20]]] * 2), tf.ones((2, 1), tf.bool)
    seen = []
    network = model.rcnn.network
    model.rcnn.network = lambda rows, training: seen.append(rows.shape[0]) or network(rows, training=training)
    try:
        with tf.GradientTape() as tape:
            found = localization_losses(model, images, tf.constant([1, 1]), boxes, valid, tf.constant([[0, 1], [0, 2]]))
            loss = tf.add_n([tf.reduce_sum(each) for each in found.losses.values()])
    finally:
        model.rcnn.network = network
    assert (set(found.losses), seen) == ({"roi_score_loss", "roi_box_loss"}, [2])
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    changed = {path for path, value in to_tensors(named_variables(model)).items() if (value != before[path]).any()}
    assert changed
    assert all(path.startswith("head/rcnn/") and "moving" in path for path in changed)
    assert len(flat_layers(model)) == len({id(layer) for layer in flat_layers(model)})


def test_second_stage_starts_from_the_weights_of_the_first(model):
    first = Localizer(described())
    arrays = to_tensors(named_variables(first))
    head = {path: value for path, value in arrays.items() if path.startswith("head/")}
    rest = {path: value for path, value in arrays.items() if path not in head}
    pretrained = convert(rest, "file", first.description.to_metadata())
    other = Localizer(described(rcnn=True))
    with pytest.raises(ValueError, match=r"file: localizer\.rcnn needs the weights of a localizer"):
        set_localizer(other, pretrained)
    assert set_localizer(other, replace(pretrained, head=head)) == "the second stage's layers of the classes"
    variables = to_tensors(named_variables(other))
    for path, value in arrays.items():
        np.testing.assert_array_equal(variables[path], value)
    for path, value in rest.items():
        if not path.startswith("logits"):
            np.testing.assert_array_equal(variables[f"head/rcnn/{path}"], value)
    head = {path: value for path, value in variables.items() if path.startswith("head/")}
    assert set_localizer(model, replace(pretrained, head=head)) == ""
    with pytest.raises(ValueError, match=r"^file: has a second stage; set localizer\.rcnn: true"):
        set_localizer(first, replace(pretrained, head=head))


def test_second_stage_without_weights_is_refused_before_a_run_has_a_folder():
    task = tiny_task(load_config(str(ROOT / "configs/localization/scenes_rcnn.yaml")))
    with pytest.raises(ConfigError, match=r"^model\.weights: localizer\.rcnn needs the weights of a localizer"):
        task.check_training()
