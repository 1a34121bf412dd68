import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.boxes.roi_align import assign_levels, roi_align

IMPLEMENTATIONS = ("gather", "crop")


def bilinear(feature, y, x):
    """The value of a feature map (h, w, C) at one point, by the definition."""
    height, width, channels = feature.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(channels)
    rows = np.maximum(1 - np.abs(np.clip(y, 0, height - 1) - np.arange(height)), 0)
    columns = np.maximum(1 - np.abs(np.clip(x, 0, width - 1) - np.arange(width)), 0)
    return np.einsum("h,w,hwc->c", rows, columns, feature)


def reference(feature, stride, boxes, output_size, sampling_ratio, aligned, pooling="average"):
    """feature (h, w, C), boxes (R, 4) -> (R, bins, bins, C) float64, by loops over boxes, bins and points."""
    result = np.zeros((len(boxes), output_size, output_size, feature.shape[-1]))
    for number, box in enumerate(np.asarray(boxes, np.float64)):
        y1, x1, y2, x2 = box / stride - (0.5 if aligned else 0.0)
        height, width = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1.0), max(x2 - x1, 1.0))
        for row, column in itertools.product(range(output_size), repeat=2):
            points = [
                bilinear(
                    feature,
                    y1 + (row + (i + 0.5) / sampling_ratio) * height / output_size,
                    x1 + (column + (j + 0.5) / sampling_ratio) * width / output_size,
                )
                for i, j in itertools.product(range(sampling_ratio), repeat=2)
            ]
            result[number, row, column] = np.max(points, 0) if pooling == "max" else np.mean(points, 0)
    return result


# On a map of 5x6 cells of 8 pixels: inside, small, all, thin, across each border, outside, without area.
BOXES = [
    [6.0, 9.0, 29.0, 40.0],
    [11.0, 12.0, 13.0, 15.0],
    [0.0, 0.0, 40.0, 48.0],
    [3.0, 20.0, 37.0, 22.0],
    [-13.0, -9.0, 20.0, 20.0],
    [25.0, 30.0, 57.0, 61.0],
    [100.0, 100.0, 120.0, 120.0],
    [10.0, 10.0, 10.0, 20.0],
]
FEATURE = np.random.RandomState(0).normal(size=(5, 6, 3)).astype(np.float32)
CASES = list(itertools.product(IMPLEMENTATIONS, (True, False), (1, 2)))


def aligned_features(feature, boxes=BOXES, stride=8, output_size=3, **arguments):
    """roi_align of one feature map and image."""
    return roi_align(
        [tf.convert_to_tensor(feature)[None]], [stride], tf.constant([boxes]), output_size=output_size, **arguments
    )[0]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_linear_ramp_gives_the_centers_of_the_bins(implementation):
    """Cells have their centers' coordinates in pixels; a box of 12x24 pixels has 3x3 bins (keras-cv issue 2449)."""
    y, x = 8 * (np.arange(5) + 0.5), 8 * (np.arange(6) + 0.5)
    ramp = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).astype(np.float32)
    bins = aligned_features(ramp, [[8.0, 10.0, 20.0, 34.0]], implementation=implementation)[0]
    np.testing.assert_allclose(bins[:, 0, 0], [10, 14, 18], rtol=1e-5)
    np.testing.assert_allclose(bins[0, :, 1], [14, 22, 30], rtol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_four_cells_by_hand(implementation):
    """The middle of the box is that of the cells if aligned, and otherwise the center of the last cell."""
    four = np.array([[[0.0], [1.0]], [[2.0], [3.0]]], np.float32)
    whole = {"feature": four, "boxes": [[0.0, 0.0, 2.0, 2.0]], "stride": 1, "implementation": implementation}
    one = {"output_size": 1, "sampling_ratio": 1}
    np.testing.assert_allclose(aligned_features(**whole, **one), [[[[1.5]]]], atol=1e-6)
    np.testing.assert_allclose(aligned_features(**whole, **one, aligned=False), [[[[3.0]]]], atol=1e-6)
    np.testing.assert_allclose(aligned_features(**whole, output_size=2, sampling_ratio=1)[0], four, atol=1e-6)
    np.testing.assert_allclose(aligned_features(**whole, output_size=1, pooling="max"), [[[[3.0]]]], atol=1e-6)


@pytest.mark.parametrize("pooling", ["average", "max"])
@pytest.mark.parametrize(("implementation", "aligned", "sampling_ratio"), CASES)
def test_values_equal_the_definition(implementation, aligned, sampling_ratio, pooling):
    arguments = {"aligned": aligned, "sampling_ratio": sampling_ratio, "pooling": pooling}
    values = aligned_features(FEATURE, implementation=implementation, **arguments)
    np.testing.assert_allclose(values, reference(FEATURE, 8, BOXES, 3, **arguments), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("implementation", "aligned", "sampling_ratio"), CASES)
def test_gradients_equal_the_definition(implementation, aligned, sampling_ratio):
    """The definition is linear in the feature map: its gradient is its value on maps of one cell."""
    arguments = {"aligned": aligned, "sampling_ratio": sampling_ratio}
    weights = np.random.RandomState(1).normal(size=(len(BOXES), 2, 2, 1))
    feature = tf.Variable(FEATURE[:, :, :1])
    with tf.GradientTape() as tape:
        values = aligned_features(feature, output_size=2, implementation=implementation, **arguments)
        loss = tf.reduce_sum(values * tf.constant(weights, tf.float32))
    expected = np.zeros((5, 6, 1))
    for row, column in itertools.product(range(5), range(6)):
        cell = np.zeros((5, 6, 1))
        cell[row, column] = 1
        expected[row, column] = np.sum(weights * reference(cell, 8, BOXES, 2, **arguments))
    np.testing.assert_allclose(tape.gradient(loss, feature), expected, atol=5e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_boxes_get_no_gradient(implementation):
    boxes = tf.Variable([BOXES])
    with tf.GradientTape() as tape:
        arguments = {"output_size": 2, "implementation": implementation}
        values = roi_align([tf.constant(FEATURE)[None]], [8], boxes, **arguments)
    assert tape.gradient(values, boxes) is None


@pytest.mark.parametrize(("aligned", "sampling_ratio"), itertools.product((True, False), (1, 2, 3)))
def test_values_equal_onnxruntime(aligned, sampling_ratio):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    attributes = {"output_height": 4, "output_width": 4, "spatial_scale": 1 / 8, "sampling_ratio": sampling_ratio}
    attributes["coordinate_transformation_mode"] = "half_pixel" if aligned else "output_half_pixel"
    node = onnx.helper.make_node("RoiAlign", ["X", "rois", "images"], ["Y"], **attributes)
    inputs = {
        "X": FEATURE.transpose(2, 0, 1)[None],
        "rois": np.float32(BOXES)[:, [1, 0, 3, 2]],
        "images": np.zeros(len(BOXES), np.int64),
    }
    values = [
        onnx.helper.make_tensor_value_info(k, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for k, v in inputs.items()
    ]
    output = onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph([node], "roi_align", values, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 16)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, inputs)[0].transpose(0, 2, 3, 1)
    ours = aligned_features(FEATURE, output_size=4, aligned=aligned, sampling_ratio=sampling_ratio)
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_each_box_is_read_from_its_level():
    random = np.random.RandomState(2)
    features = [random.normal(size=(2, *size, 3)).astype(np.float32) for size in ((10, 12), (5, 6), (3, 3))]
    strides, boxes = [4, 8, 16], np.stack([BOXES, BOXES[::-1]])
    levels = random.randint(0, 3, (2, len(BOXES))).astype(np.int32)
    values = roi_align(features, strides, boxes, levels, output_size=2)
    for image, box in np.ndindex(levels.shape):
        level = levels[image, box]
        alone = reference(features[level][image], strides[level], boxes[image, box][None], 2, 2, True)
        np.testing.assert_allclose(values[image, box], alone[0], atol=2e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_one_trace_serves_images_of_any_size(implementation):
    """Two aspect ratios and batch sizes, also no box at all."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, 4])], autograph=False
    )
    def traced(feature, boxes):
        return roi_align([feature], [8], boxes, output_size=2, implementation=implementation)

    for size in ((5, 9), (9, 5)):
        feature = np.random.RandomState(0).normal(size=(2, *size, 3)).astype(np.float32)
        values = traced(feature, np.float32([BOXES] * 2))
        np.testing.assert_allclose(values[1], reference(feature[1], 8, BOXES, 2, 2, True), atol=2e-5)
    assert traced(feature, np.zeros((2, 0, 4), np.float32)).shape == (2, 0, 2, 2, 3)
    assert traced.experimental_get_tracing_count() == 1


def test_row_is_the_same_alone_and_in_a_batch():
    features = np.random.RandomState(0).normal(size=(3, 5, 6, 3)).astype(np.float32)
    boxes = np.float32([np.zeros((8, 4)), BOXES, np.zeros((8, 4))])
    batch = roi_align([features], [8], boxes, output_size=2)
    alone = roi_align([features[1:2]], [8], boxes[1:2], output_size=2)
    np.testing.assert_array_equal(batch[1], alone[0])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("dtype", "half_step"), [(tf.float16, 2**-11), (tf.bfloat16, 2**-8)])
def test_16_bit_features_are_interpolated_in_float32(dtype, half_step, implementation):
    """Values are rounded once, to the type of the features."""
    feature = tf.cast(FEATURE, dtype)
    values = aligned_features(feature, implementation=implementation)
    assert values.dtype == dtype
    expected = reference(tf.cast(feature, tf.float32).numpy(), 8, BOXES, 3, 2, True)
    assert np.all(np.abs(tf.cast(values, tf.float32) - expected) <= half_step * np.abs(expected) + 1e-5)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_boxes_stay_exact_beside_16_bit_features(dtype):
    """The middle of a box from 1000 to 1003 is the center of cell 1001. In bfloat16 the box ends at 1004."""
    feature = tf.cast(tf.tile(tf.one_hot([1001], 1010)[None, :, :, None], [1, 2, 1, 1]), dtype)
    box = tf.constant([[[0.0, 1000.0, 2.0, 1003.0]]])
    values = roi_align([feature], [1], box, output_size=1, sampling_ratio=1)
    assert values.numpy() == [[[[[1.0]]]]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "mean"}, "pooling is 'mean'; allowed are 'average', 'max'"),
        ({"implementation": "auto"}, "implementation is 'auto'; allowed are 'gather', 'crop'"),
        ({"implementation": "crop", "levels": [[0]]}, "'crop' takes 1 feature map, not 2"),
        ({}, "levels is None with 2 feature maps"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        roi_align([FEATURE[None], FEATURE[None]], [8, 16], [[BOXES[0]]], output_size=2, **arguments)


@pytest.mark.parametrize(
    ("side", "level"),
    [(1, 2), (56, 2), (111.9, 2), (112, 3), (223.9, 3), (224, 4), (447.9, 4), (448, 5), (896, 5), (5000, 5)],
)
def test_level_of_a_square(side, level):
    """Levels 2 to 5; 224 pixels are on level 4."""
    assert (
        assign_levels([[0, 0, side, side], [7, 9, 7 + side / 2, 9 + side * 2]], 2, 5).numpy().tolist()
        == [level - 2] * 2
    )


def test_level_of_degenerate_boxes_is_the_lowest():
    assert assign_levels([[5, 5, 5, 50], [900, 900, 5, 5], [0, 0, 0, 0]], 2, 5).numpy().tolist() == [0, 0, 0]


def test_level_at_the_limit_is_the_upper_one_in_spite_of_rounding():
    """Squares of 224 and 112 pixels, a little smaller in float32."""
    boxes = [[745.7, 924.7, 969.7, 1148.7], [1016.7, 911.6, 1128.7, 1023.6]]
    assert assign_levels(boxes, 2, 5).numpy().tolist() == [2, 1]


def test_canonical_size_is_an_argument():
    levels = assign_levels([[0, 0, 48, 48], [0, 0, 96, 96]], 2, 4, canonical_size=96, canonical_level=4)
    assert levels.numpy().tolist() == [1, 2]
