"""The contents of a SavedModel."""

import math

import numpy as np
import tensorflow as tf

from keras_resnet import Spec, build
from keras_resnet.export.graph import answers, plain_network
from keras_resnet.export.saved_model import write_saved_model


def test_saved_model_stores_shared_variables_once(tmp_path):
    model = build(Spec(name="tiny", stem="cifar", block="basic", depths=(1,), widths=(4,)), input_shape=(8, 8, 3))
    network = plain_network(answers(model))
    specs = [tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images")]
    write_saved_model({"one": (network, specs), "other": (network, specs)}, str(tmp_path), model.description)
    stored = [shape for name, shape in tf.train.list_variables(str(tmp_path / "variables" / "variables")) if shape]
    assert sum(map(math.prod, stored)) == model.count_params()
    images = np.random.RandomState(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    answer = tf.saved_model.load(str(tmp_path)).signatures["other"](images=tf.constant(images))
    np.testing.assert_allclose(answer["logits"], model.predict(images, verbose=0), rtol=1e-5, atol=1e-5)
