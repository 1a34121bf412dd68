"""Sets a localizer's weights to those of a classifier or of a localizer."""

from keras_resnet.localization.localizer import Localizer
from keras_resnet.weights.conversion import Pretrained
from keras_resnet.weights.loading import HEAD, set_pretrained
from keras_resnet.weights.native import assign_tensors, named_variables

_RCNN = f"{HEAD}rcnn/"  # begins the paths of the second stage


def set_localizer(model: Localizer, pretrained: Pretrained, reset_head: bool = False) -> str:
    """Sets the classifier, and the region proposal networks if the weights have them for as many classes.

    Args:
        model: the localizer.
        pretrained: the weights of a classifier, or of a localizer.
        reset_head: keep the initialization of all layers of classes.

    Returns:
        What keeps its initialization, in words; "" for nothing.

    Raises:
        ValueError: the weights do not fit the model.
    """
    new_classifier = set_pretrained(model.network, pretrained, reset_head)
    head = {path: variable for path, variable in named_variables(model).items() if path.startswith(HEAD)}
    fits = not new_classifier and len(model.description.labels) == len(pretrained.description.labels)
    if model.rcnn and not (pretrained.head and fits):
        raise ValueError(f"{pretrained.path}: localizer.rcnn needs the weights of a localizer of the same classes")
    if model.rcnn and not any(path.startswith(_RCNN) for path in pretrained.head):
        first = {path: variable for path, variable in head.items() if not path.startswith(_RCNN)}
        assign_tensors(first, pretrained.head, pretrained.path)
        network = named_variables(model.rcnn.network)
        arrays = {path: pretrained.arrays[path.removeprefix(_RCNN)] for path in network}
        assign_tensors(network, arrays, pretrained.path)
        return "the second stage's layers of the classes"
    if pretrained.head and fits:
        if not model.rcnn and any(path.startswith(_RCNN) for path in pretrained.head):
            raise ValueError(f"{pretrained.path}: has a second stage; set localizer.rcnn: true to train it further")
        assign_tensors(head, pretrained.head, pretrained.path)
        return ""
    return "the classifier and the boxes" if new_classifier else "the boxes"
