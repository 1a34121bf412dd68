"""Training step and inference of torchvision's Faster R-CNN, for `detection.py`, which starts it.

    echo train 3 | python benchmarks/torchvision_detector.py BATCH SIDE [FOLDER]

Needs Torch and torchvision, with FOLDER also onnx and safetensors; nothing of this package. R-50 FPN for 90 classes in
eager mode, with as many threads as this process has cores. Normalization, its scale and shift, the stem and the first
stage are frozen. For every line on the input, `train` or `detect` and a number of steps, it prints the seconds of one
step; the first line that it prints has the number of parameters.

With FOLDER, the batch is the image in FOLDER/image.npy, (SIDE, SIDE, 3) uint8, scores are scaled until the detector
finds 100 objects in it, and FOLDER gets weights.safetensors and the ONNX export, torchvision.onnx.
"""

import os
import sys
import time

import numpy as np
import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FrozenBatchNorm2d

CLASSES, OBJECTS, DETECTIONS = 90, 8, 100
WITHOUT_CATEGORY = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # ids of COCO that no object has


def build(side):
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    for module in backbone.modules():
        if isinstance(module, Bottleneck):  # untrained branches would grow from block to block
            module.bn3.weight.zero_()
    return FasterRCNN(backbone, 1 + CLASSES, min_size=side, max_size=side, rpn_post_nms_top_n_train=1000)


@torch.inference_mode()
def prepare_export(model, folder):
    """Writes the detector's weights and its ONNX export, and returns its image (3, H, W)."""
    from safetensors.torch import save_file

    image = torch.from_numpy(np.load(os.path.join(folder, "image.npy"))).permute(2, 0, 1) / 255
    model.eval()
    model.roi_heads.box_predictor.cls_score.bias[list(WITHOUT_CATEGORY)] = -1e4
    while len(model([image])[0]["boxes"]) < DETECTIONS:
        model.roi_heads.box_predictor.cls_score.weight *= 2
    save_file(model.state_dict(), os.path.join(folder, "weights.safetensors"))
    path = os.path.join(folder, "torchvision.onnx")
    torch.onnx.export(model, ([image],), path, opset_version=17, dynamo=False)
    return image


def make_steps(model, batch, side, images=None):
    """Returns {"train", "detect": () -> a number that waits for the step}."""
    random = torch.Generator().manual_seed(0)
    images = images or list(torch.rand((batch, 3, side, side), generator=random))
    corners = torch.rand((batch, OBJECTS, 2), generator=random) * side / 2
    boxes = torch.cat([corners, corners + side / 10 + torch.rand((batch, OBJECTS, 2), generator=random) * side / 3], 2)
    targets = [{"boxes": each, "labels": 1 + torch.arange(OBJECTS)} for each in boxes]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9, weight_decay=1e-4)

    def train():
        model.train()
        loss = sum(model(images, targets).values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def detect():
        model.eval()
        return len(model(images)[0]["boxes"])

    return {"train": train, "detect": detect}


def main(batch, side, folder=None):
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    model = build(int(side))
    images = [prepare_export(model, folder)] if folder else None
    steps = make_steps(model, int(batch), int(side), images)
    for step in steps.values():
        step()
    print(sum(parameter.numel() for parameter in model.parameters()), flush=True)
    for line in sys.stdin:
        name, count = line.split()
        began = time.perf_counter()
        for _ in range(int(count)):
            steps[name]()
        print((time.perf_counter() - began) / int(count), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
