"""Features of RoIs take memory for one image at a time."""

import numpy as np
import tensorflow as tf

from keras_resnet.detection.roi_features import image_by_image


def test_image_by_image_calls_with_one_image_and_returns_all():
    seen = []

    def function(maps, boxes):
        seen.append((maps[2].shape[0], boxes.shape[0]))
        return maps[2][:, :3] * 2, boxes[:, 0]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 5]), tf.TensorSpec([None, 7, 4])])
    def detect(features, boxes):
        return image_by_image(function, ({2: features}, boxes), ((3,), (4,)))

    features, boxes = tf.random.normal((6, 5)), tf.random.normal((6, 7, 4))
    doubled, first = detect(features, boxes)
    assert seen == [(1, 1)]
    np.testing.assert_array_equal(doubled, 2 * features[:, :3])
    np.testing.assert_array_equal(first, boxes[:, 0])


def test_image_by_image_adds_no_loop_for_one_image():
    """Files of batch 1 for other runtimes have no loop that their converters would have to know."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([1, 5])])
    def detect(features):
        return image_by_image(lambda each: (each + 1,), (features,), ((5,),))

    operators = {operation.type for operation in detect.get_concrete_function().graph.get_operations()}
    assert not {name for name in operators if "While" in name}
