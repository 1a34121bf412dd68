"""Every shipped recipe trains."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from recipes_rig import CONFIGS

from keras_resnet.config import load_config
from keras_resnet.data.pipeline import training_batches
from keras_resnet.task import load_task
from keras_resnet.training.optimizer import build_optimizer, prepare
from keras_resnet.training.steps import make_train_step
from keras_resnet.weights.native import named_variables, to_tensors


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Returns a folder of 4 classes of 6 small JPEGs of different shapes: the quarters of two photographs."""
    from sklearn.datasets import load_sample_images

    root, random = tmp_path_factory.mktemp("pictures"), np.random.RandomState(0)
    for label in range(4):
        (root / f"quarter{label}").mkdir()
        for i in range(6):
            photograph = Image.fromarray(load_sample_images().images[i % 2])
            width, height = photograph.width // 2, photograph.height // 2
            left, top = label % 2 * width, label // 2 * height
            size = tuple(int(side) for side in random.randint(40, 61, 2))
            photograph.crop((left, top, left + width, top + height)).resize(size).save(root / f"quarter{label}/{i}.jpg")
    return root


@pytest.fixture
def eagerly():
    """Runs without graphs: tracing takes longer than two steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def small(name, pictures):
    """Returns the recipe on these images for two steps; everything else that affects the computation is kept."""
    warmup = min(1, load_config(str(CONFIGS[name])).train.warmup_steps)
    data = [f"data.name=folder:{pictures}", "data.image_size=32", "data.resize_range=[40, 60]"]
    data += ["data.validation_fraction=0.25"]
    data += ["data.train_image_size=24"] if load_config(str(CONFIGS[name])).data.train_image_size else []
    train = ["train.steps=2", "train.epochs=null", "train.batch_size=4", f"train.warmup_steps={warmup}"]
    train += ["train.base_batch_size=null", "train.jit_compile=false"]
    rest = ["eval.batch_size=4", "export.top_k=2"]
    if name.startswith("detection/"):
        data = ["data.name=scenes", "data.image_size=128"]  # the folder's images have no boxes
        # A RoI of C4 takes 8.5 MB. Constant normalization is for trained weights: 101 new layers would overflow.
        data += ["detector.roi_samples=16", "model.zero_init_last_gamma=true"]
    if name.startswith("localization/"):
        data = ["data.name=scene_objects", "data.image_size=64", "data.resize_range=[64, 80]"]
    return load_config(str(CONFIGS[name]), [*data, *train, *rest])


def is_frozen(name, train):
    """Whether a recipe keeps a weight or a moving statistic: all before the classifier, all statistics, or none."""
    statistics = train.batch_norm == "frozen" and "/moving_" in name
    assert train.freeze_at in (None, "stage4")
    return statistics or (train.freeze_at == "stage4" and not name.startswith("logits/"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.parametrize("name", CONFIGS)
def test_recipe_trains_for_two_steps(name, pictures, eagerly, policy, strategies):
    if load_config(str(CONFIGS[name])).data.randaugment_num_ops:
        pytest.importorskip("official", reason="RandAugment needs tf-models-official")
    task = load_task(small(name, pictures))
    train, strategy = task.config.train, strategies[1]
    keras.utils.set_random_seed(train.seed)
    policy(train.precision)
    with strategy.scope():
        model = task.build_model()
        prepare(model, train)
        optimizer = build_optimizer(train, model.trainable_variables)
    before = to_tensors(named_variables(model))
    step, batches = make_train_step(task, model, optimizer, strategy), training_batches(task, strategy, 0)
    for _ in range(2):
        sums = step(next(batches))
        assert float(sums["images"]) == 4
        assert math.isfinite(float(sums["loss"]))
    after = to_tensors(named_variables(model))
    assert [name for name, value in after.items() if not np.isfinite(value).all()] == []
    if name == "localization/scenes_rcnn.yaml":  # the first stage is not trained
        after = {name: value for name, value in after.items() if name.startswith("head/rcnn/")}
    if train.batch_norm != "constant":
        unchanged = [name for name, value in after.items() if np.array_equal(value, before[name])]
        assert unchanged == [name for name in after if is_frozen(name, train)]
