"""Computes detectors.npz: what torchvision's four detectors return for seeded weights and one seeded image.

    python tests/golden/detection/make_detectors.py

Needs torch and torchvision, nothing of this package; CPU, float32. The image goes to the parts of the detectors as it
is, without torchvision's resizing. Everything is as torchvision has it. The weights are those of `seeded.py`. For each
detector, the arrays are:

    names                     its state dict, [[name, shape, dtype]] as JSON
    score_scale, score_bias   a factor of the seeded kernel of the classes, and their bias in place of the seeded one:
                              proposals have scores of many classes
    features.LEVEL            of every level, the values at [::FEATURES] of each axis
    features.LEVEL.std        the standard deviation of each channel
    proposals                 (P, 4), best first
    boxes, scores, labels     of the detections
    masks                     of the first MASKS detections, (M, 28, 28)
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torchvision
from torchvision.models import detection
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.misc import FrozenBatchNorm2d

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
import seeded

MODELS = ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
FEATURES = (1, 16, 4, 4)
MASKS = 8


def build(name):
    """Returns a detector with seeded weights, in version 1 with constant normalization of epsilon 0 as published."""
    model = getattr(detection, name)(weights=None, weights_backbone=None)
    if not name.endswith("_v2"):
        freeze(model.backbone.body)
    state = {
        key: torch.from_numpy(np.array(seeded.detector_tensor(key, tuple(value.shape), str(value.dtype)[6:])))
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state, strict=True)
    if not name.endswith("_v2"):
        overwrite_eps(model, 0.0)
    return model.eval()


def freeze(module):
    """Replaces batch normalization by its frozen form, as torchvision builds the trunk for published weights."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features))
        freeze(child)


def calibrate(heads, features, proposals, sizes):
    """Sets the layer of the classes so that each logit has the mean 0 over the proposals, and all the std 3."""
    layer = heads.box_predictor.cls_score
    inputs = heads.box_head(heads.box_roi_pool(features, proposals, sizes))
    logits = inputs @ layer.weight.T
    scale = np.float32((3 / (logits - logits.mean(0)).std()).item())
    layer.weight *= torch.tensor(scale)
    layer.bias.copy_(-(inputs @ layer.weight.T).mean(0))
    return scale, layer.bias


@torch.no_grad()
def outputs(model):
    """Returns {name: array} of a detector for the seeded image."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (model.transform.image_mean, model.transform.image_std))
    image = torch.from_numpy(seeded.detector_image()).permute(2, 0, 1).float() / 255
    images = ((image - mean) / std)[None]
    features = model.backbone(images)
    sizes = [tuple(images.shape[2:])]
    proposals, _ = model.rpn(ImageList(images, sizes), features)
    scale, bias = calibrate(model.roi_heads, features, proposals, sizes)
    (found,), _ = model.roi_heads(features, proposals, sizes)
    every = tuple(slice(None, None, step) for step in FEATURES)
    listing = [[key, list(value.shape), str(value.dtype)[6:]] for key, value in model.state_dict().items()]
    arrays = {"names": np.frombuffer(json.dumps(listing).encode(), np.uint8), "proposals": proposals[0].numpy()}
    arrays |= {"score_scale": np.float32(scale), "score_bias": bias.numpy()}
    for level, value in features.items():
        arrays[f"features.{level}"] = value[every].numpy()
        arrays[f"features.{level}.std"] = value.std((0, 2, 3), correction=0).numpy()
    arrays |= {key: found[key].numpy() for key in ("boxes", "scores")}
    arrays["labels"] = found["labels"].numpy().astype(np.int32)
    if "masks" in found:
        arrays["masks"] = found["masks"][:MASKS, 0].numpy()
    return arrays


def main():
    arrays = {"version": np.array(torchvision.__version__)}
    for name in MODELS:
        model = build(name)
        count = sum(each.numel() for each in model.parameters())
        arrays |= {f"{name}/{key}": value for key, value in outputs(model).items()}
        found = arrays[f"{name}/scores"]
        print(f"{name}: {count:,} parameters, {len(arrays[f'{name}/proposals'])} proposals, {len(found)} detections")
    path = pathlib.Path(__file__).with_name("detectors.npz")
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays)} arrays of torchvision {torchvision.__version__}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
