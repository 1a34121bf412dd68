"""The per-class RPN: kernels of the asked classes alone, anchors of any map, the best box of a class."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.anchors import level_anchors
from keras_resnet.boxes.coding import clip, decode
from keras_resnet.boxes.sampling import sample
from keras_resnet.description import Description, Preprocessing
from keras_resnet.localization.dense import dense_locate
from keras_resnet.localization.layers import PerClass
from keras_resnet.localization.localizer import Candidates, Localizer
from keras_resnet.localization.losses import anchor_losses, balanced, localization_losses
from keras_resnet.localization.weights import set_localizer
from keras_resnet.specs import SPECS, variant
from keras_resnet.weights.conversion import convert
from keras_resnet.weights.native import named_variables, to_tensors

HEAD = {"channels": 8, "anchor_sizes": [16, 28], "anchor_ratios": [1.0, 2.0], "top_k": 2}


def described(**head):
    spec = variant(SPECS["scene_resnet14"], depths=(1, 1, 1))
    preprocessing = Preprocessing(image_size=32, crop_pct=1.0, channels=3)
    return Description(spec=spec, preprocessing=preprocessing, labels=("cat", "dog", "cow"), head=HEAD | head)


@pytest.fixture(scope="module")
def model():
    """A localizer of three classes, whose layers of classes have large random weights."""
    model, random = Localizer(described()), np.random.RandomState(0)
    for path, variable in named_variables(model).items():
        if path.startswith(("head/scores", "head/deltas", "logits")):
            variable.assign(random.normal(0, 0.5, variable.shape))
    return model


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.RandomState(1).uniform(0, 255, (2, 32, 32, 3)), tf.float32)


def test_gathered_classes_equal_the_dense_layer():
    """Three classes: a convolution with the outputs of all classes, of which those of each image's are taken."""
    random = np.random.RandomState(0)
    features = random.normal(size=(4, 6, 5)).astype(np.float32)
    layer = PerClass(3, 2)
    layer.build(features.shape, (4, 2))
    layer.kernel.assign(random.normal(size=(3, 5, 2)))
    layer.bias.assign(random.normal(size=6))
    dense = np.einsum("npf,kfo->nkpo", features, layer.kernel.numpy()) + layer.bias.numpy().reshape(3, 1, 2)
    classes = np.array([[0, 1], [2, 2], [1, 0], [2, 0]])
    expected = np.stack([dense[i, row] for i, row in enumerate(classes)])
    np.testing.assert_allclose(layer(features, tf.constant(classes)), expected, rtol=1e-5, atol=1e-6)


def test_anchors_equal_those_of_a_feature_map(model):
    expected = level_anchors((2, 3), 16, HEAD["anchor_sizes"], HEAD["anchor_ratios"])
    np.testing.assert_array_equal(model.anchors(2, 3), expected)
    assert model.stride == 16
    assert Localizer(described(stage=2)).stride == 8


def test_answer_has_the_best_box_of_each_of_the_best_classes(model, images):
    found, of_class = model.locate_with(images, tf.constant([2, 0]))
    outputs = model.network(images)
    assert found.classes.shape == (2, 2)
    assert found.classes.numpy().tolist() == np.argsort(-outputs["logits"].numpy())[:, :2].tolist()
    every = tf.constant([[0, 1, 2]] * 2)
    all_classes = model.candidates(outputs["features"], every)
    best = np.argmax(all_classes.scores.numpy(), -1)
    for row in range(2):
        boxes = []
        for label in range(3):
            anchor = best[row, label]
            box = decode(all_classes.deltas[row, label, anchor], all_classes.anchors[anchor])
            boxes.append(clip(box, (32, 32)).numpy())
        for place, label in enumerate(found.classes[row].numpy()):
            np.testing.assert_allclose(found.boxes[row, place], boxes[label], rtol=1e-5)
        np.testing.assert_allclose(of_class[row], boxes[[2, 0][row]], rtol=1e-5)
    for one, other in zip(model.locate(images), found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_dense_test_at_the_size_of_a_crop_equals_the_crop(model, images):
    found, oracle = model.locate_with(images[:1], tf.constant([1]))
    dense, dense_oracle = dense_locate(model)([images[:1]], tf.constant([1]), tf.constant([[32.0, 32.0]]))
    np.testing.assert_array_equal(dense.classes, found.classes)
    for one, other in ((dense.scores, found.scores), (dense.boxes, found.boxes), (dense_oracle, oracle)):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_dense_window_is_the_feature_map_of_a_crop_where_strides_do_not_divide_its_size():
    """A crop of 40 pixels has 3 x 3 cells at a stride of 16: one window of three, and no four of two."""
    about = described()
    about = replace(about, preprocessing=replace(about.preprocessing, image_size=40))
    model, images = Localizer(about), tf.random.stateless_uniform((1, 40, 40, 3), (0, 0)) * 255
    assert model.network.output["last"].shape[1] == 3
    logits = model.network.get_layer("logits")
    logits.kernel.assign(np.random.RandomState(0).normal(0, 0.5, logits.kernel.shape))
    found, _ = model.locate_with(images, tf.constant([1]))
    dense, _ = dense_locate(model)([images], tf.constant([1]), tf.constant([[40.0, 40.0]]))
    np.testing.assert_allclose(dense.scores, found.scores, rtol=1e-4)


def test_dense_test_takes_the_better_scale_and_returns_pixels_of_the_image(model, images):
    """A scale of twice the size: its boxes are halved; the scale with the higher score of a class has its box."""
    large = tf.image.resize(images[:1], (64, 96))
    size = tf.constant([[32.0, 48.0]])
    locate = dense_locate(model)
    alone = [locate([each], tf.constant([1]), size) for each in (images[:1], large)]
    both = locate([images[:1], large], tf.constant([1]), size)
    better = max(alone, key=lambda each: float(_score_of(each[0], 1)) if 1 in each[0].classes.numpy() else -1)
    assert 1 in better[0].classes.numpy()
    np.testing.assert_allclose(both[1], better[1], rtol=1e-5)
    assert (both[0].boxes.numpy() <= [32, 48, 32, 48]).all()
    assert float(tf.reduce_max(alone[1][0].boxes)) > 16


def _score_of(found, label):
    return found.box_scores.numpy()[0, found.classes.numpy()[0].tolist().index(label)]


def test_sample_has_as_many_negatives_as_positives():
    """Eight anchors: four and four; of one positive, one negative; none without a positive."""
    labels = tf.constant([[1] * 6 + [0] * 14, [1] + [0] * 19, [0] * 20, [1] * 6 + [0] + [-1] * 13])
    seeds = tf.constant([[0, i] for i in range(4)])
    drawn = balanced(sample(labels, seeds, 8, 0.5))
    positive = (drawn.positive & drawn.valid).numpy().sum(1)
    assert positive.tolist() == [4, 1, 0, 4]
    assert (drawn.valid.numpy().sum(1) - positive).tolist() == [4, 1, 0, 1]


def candidates(model, scores, deltas):
    """Candidates of one class for two images of 2 x 2 cells."""
    return Candidates(model.anchors(2, 2), tf.constant(scores, tf.float32), tf.constant(deltas, tf.float32))


def test_losses_of_anchors_by_hand(model):
    """One box, equal to an anchor: with this and one negative, two entropies of log 2 and one distance of 4 x 0.5."""
    anchors = model.anchors(2, 2).numpy()
    boxes = tf.constant(anchors[None, 5:6].repeat(2, 0))
    found = candidates(model, np.zeros((2, 1, 16)), np.full((2, 1, 16, 4), 0.5))
    options = model.options.model_copy(update={"anchor_positive_iou": 0.99, "anchor_negative_iou": 0.05})
    valid = tf.constant([[True], [False]])
    losses = anchor_losses(options, found, boxes, valid, tf.constant([[0, 1], [0, 2]]))
    np.testing.assert_allclose(losses["rpn_score_loss"], [np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(losses["rpn_box_loss"], [1.0, 0], rtol=1e-6)


def test_image_trains_the_boxes_of_its_own_class_alone(model, images):
    boxes = tf.constant([[[4.0, 4, 20, 20]]] * 2)
    with tf.GradientTape() as tape:
        found = localization_losses(
            model, images, tf.constant([1, 1]), boxes, tf.ones((2, 1), tf.bool), tf.constant([[0, 1], [0, 2]])
        )
        loss = tf.add_n([tf.reduce_sum(each) for each in found.losses.values()])
    gradients = tape.gradient(loss, [model.scores.kernel.value, model.deltas.kernel.value])
    for gradient in gradients:
        assert not isinstance(gradient, tf.IndexedSlices)
        assert np.abs(gradient).max(axis=(1, 2)).astype(bool).tolist() == [False, True, False]


def test_weights_of_a_localizer_set_all_of_another_and_the_network_of_a_classifier(model):
    arrays = to_tensors(named_variables(model))
    head = {path: value for path, value in arrays.items() if path.startswith("head/")}
    rest = {path: value for path, value in arrays.items() if path not in head}
    metadata = model.description.to_metadata()
    pretrained = convert(rest, "file", metadata)
    other = Localizer(described())
    assert set_localizer(other, pretrained) == "the boxes"
    np.testing.assert_array_equal(named_variables(other)["logits/kernel"], arrays["logits/kernel"])
    assert not np.array_equal(named_variables(other)["head/scores/kernel"], arrays["head/scores/kernel"])
    assert set_localizer(other, replace(pretrained, head=head)) == ""
    for path, value in to_tensors(named_variables(other)).items():
        np.testing.assert_array_equal(value, arrays[path])
    assert set_localizer(other, replace(pretrained, head=head), reset_head=True) == "the classifier and the boxes"


def test_boxes_stay_float32_in_mixed_precision(policy, images):
    policy("mixed_bfloat16")
    model = Localizer(described(rcnn=True, proposals=2))
    outputs = model.network(images)
    assert outputs["features"].dtype == tf.bfloat16
    found = model.candidates(outputs["features"], tf.constant([[0, 1], [1, 2]]))
    assert {each.dtype for each in found} == {tf.float32}
    assert {each.dtype for each in model.locate(images)} == {tf.int32, tf.float32}


def test_description_of_a_localizer_round_trips(model):
    about = Description.from_json(model.description.to_json())
    assert about == model.description
    assert Localizer.from_config(model.get_config()).options == model.options
    assert "head" not in Description(spec=about.spec, preprocessing=about.preprocessing).to_json()
