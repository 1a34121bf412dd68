"""Computes torchvision.npz: what torchvision's detection code returns for seeded inputs, with these inputs.

    python tests/golden/detection/make_torchvision.py

Needs torch and torchvision, nothing of this package; CPU, float32. Everything is as torchvision has it: boxes
(x1, y1, x2, y2), deltas (dx, dy, dw, dh), features (N, C, h, w), kernels (out, in, h, w), class 0 is the background.
The tests convert. Images are 96 pixels high and 128 wide.

Samplers of torchvision draw at random. Here they take more boxes than there are, so that they take all of them, and
losses are computed image by image.
"""

import pathlib

import numpy as np
import torch
import torchvision
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, batched_nms, box_iou, nms, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

HEIGHT, WIDTH, CLASSES, ALL = 96, 128, 5, 10**6
STRIDES, SIZES, RATIOS = (4, 8, 16), (16, 32, 64), (0.5, 1.0, 2.0)
OBJECTS = torch.tensor([[10.0, 12.0, 44.0, 40.0], [60.0, 30.0, 120.0, 90.0], [70.0, 2.0, 98.0, 10.0]])
LABELS = torch.tensor([3, 1, 4])
# Inside, in one cell, the whole image, thin, beyond the upper left and the lower right border, far outside, no area.
BOXES = torch.tensor(
    [
        [9.0, 6.0, 40.0, 29.0],
        [12.0, 11.0, 15.0, 13.0],
        [0.0, 0.0, WIDTH, HEIGHT],
        [20.0, 3.0, 22.0, 87.0],
        [-19.0, -13.0, 50.0, 20.0],
        [101.0, 70.0, 140.0, 113.0],
        [200.0, 200.0, 240.0, 240.0],
        [10.0, 10.0, 20.0, 10.0],
        [33.3, 41.7, 97.1, 88.8],
    ]
)


def normal(seed, *shape, scale=1.0):
    return torch.from_numpy((scale * np.random.RandomState(seed).normal(size=shape)).astype(np.float32))


def random_boxes(seed, count, low=8, high=60):
    random = np.random.RandomState(seed)
    corners = random.uniform(0, (WIDTH - low, HEIGHT - low), (count, 2))
    return torch.from_numpy(np.concatenate([corners, corners + random.uniform(low, high, (count, 2))], 1)).float()


def roi_aligned():
    """roi_align of two images, with the gradient of sum(values * weights) of the features."""
    features, boxes = normal(0, 2, 3, HEIGHT // 8, WIDTH // 8), [BOXES, BOXES.flip(0)]
    found = {"features": features, "boxes": torch.stack(boxes)}
    for size in (2, 7):
        weights = found[f"weights{size}"] = normal(1, 2 * len(BOXES), 3, size, size)
        for aligned in (False, True):
            leaf = features.clone().requires_grad_()
            values = roi_align(leaf, boxes, size, 1 / 8, sampling_ratio=2, aligned=aligned)
            (values * weights).sum().backward()
            name = f"{size}_{'aligned' if aligned else 'unaligned'}"
            found |= {f"values{name}": values, f"gradient{name}": leaf.grad}
    return found


def pooled():
    """MultiScaleRoIAlign, which is not aligned, and the level that it takes for each box."""
    sides = torch.tensor([1.0, 27.9, 28.0, 55.9, 56.0, 111.9, 112.0, 223.9, 224.0, 448.0, 1000.0])
    squares = torch.stack([sides * 0, sides * 0, sides, sides], 1)
    others = random_boxes(3, 40, 4, 400)
    boxes = torch.cat([squares, others])
    maps = {str(i): normal(4 + i, 1, 3, HEIGHT // stride, WIDTH // stride) for i, stride in enumerate(STRIDES)}
    pool = MultiScaleRoIAlign(["0", "1", "2"], 3, 2, canonical_scale=56)
    inside = random_boxes(3, 20, 8, 120)
    return {
        "boxes": boxes,
        "levels": LevelMapper(2, 5)([boxes]),
        "inside": inside,
        "inside_levels": LevelMapper(2, 4, canonical_scale=56)([inside]),
        "values": pool(maps, [inside], [(HEIGHT, WIDTH)]),
        **{f"map{i}": each for i, each in maps.items()},
    }


def suppressed():
    boxes = random_boxes(0, 120)
    scores = torch.from_numpy(np.random.RandomState(1).permutation(120).astype(np.float32)) / 120
    classes = torch.from_numpy(np.random.RandomState(2).randint(0, 4, 120))
    found = {"boxes": boxes, "scores": scores, "classes": classes, "iou": box_iou(boxes, boxes[:9])}
    for threshold in (3, 5, 7):
        found[f"kept{threshold}"] = nms(boxes, scores, threshold / 10)
        found[f"kept_by_class{threshold}"] = batched_nms(boxes, scores, classes, threshold / 10)
    return found


def region_proposal_network(before=ALL, after=ALL):
    generator = AnchorGenerator(tuple((size,) for size in SIZES), (RATIOS,) * len(SIZES))
    return RegionProposalNetwork(
        generator,
        None,
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=ALL,
        positive_fraction=0.5,
        pre_nms_top_n={"training": before, "testing": before},
        post_nms_top_n={"training": after, "testing": after},
        nms_thresh=0.7,
    )


def grids():
    return [(HEIGHT // stride, WIDTH // stride) for stride in STRIDES]


def proposals():
    """Anchors, their labels and targets, the losses of given outputs, and the proposals that follow from these."""
    rpn = region_proposal_network(before=80, after=60)
    image = ImageList(torch.zeros(1, 3, HEIGHT, WIDTH), [(HEIGHT, WIDTH)])
    (anchors,) = rpn.anchor_generator(image, [torch.zeros(1, 1, *grid) for grid in grids()])
    scores, deltas = normal(8, len(anchors)), normal(9, len(anchors), 4, scale=0.3)
    decoded = rpn.box_coder.decode(deltas, [anchors]).reshape(1, -1, 4)
    sizes = [len(RATIOS) * height * width for height, width in grids()]
    boxes, kept_scores = rpn.filter_proposals(decoded, scores[:, None], [(HEIGHT, WIDTH)], sizes)
    found = {"anchors": anchors, "scores": scores, "deltas": deltas, "boxes": boxes[0], "box_scores": kept_scores[0]}
    for name, objects in (("", OBJECTS), ("_blank", torch.zeros(0, 4))):
        labels, matched = rpn.assign_targets_to_anchors([anchors], [{"boxes": objects}])
        targets = rpn.box_coder.encode(matched, [anchors])
        # Away from the objects' deltas, so that no difference is where the smooth L1 loss is a parabola.
        given = targets[0] + torch.where(deltas < 0, -1.0, 1.0) * (deltas.abs() + 0.2)
        score_loss, box_loss = rpn.compute_loss(scores[:, None], given, labels, targets)
        found |= {f"labels{name}": labels[0], f"score_loss{name}": score_loss, f"box_loss{name}": box_loss}
        if not name:
            found |= {"targets": targets[0][labels[0] == 1], "given": given[labels[0] == 1]}
    return found


def roi_heads(threshold=0.05, detections=ALL):
    return RoIHeads(
        None,
        None,
        None,
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=ALL,
        positive_fraction=0.5,
        bbox_reg_weights=None,
        score_thresh=threshold,
        nms_thresh=0.5,
        detections_per_img=detections,
    )


def rois():
    """Labels and targets of proposals, the losses of given outputs, and the detections that follow from these."""
    heads, near = roi_heads(detections=40), OBJECTS.repeat(6, 1) + normal(10, 18, 4, scale=4.0)
    candidates = torch.cat([near, random_boxes(11, 40)])
    targets = [{"boxes": OBJECTS, "labels": LABELS}]
    (boxes,), _, labels, regression = heads.select_training_samples([candidates], targets)
    logits = normal(12, len(boxes), CLASSES, scale=2.0)
    offsets = normal(13, len(boxes), CLASSES, 4)
    given = regression[0][:, None] + torch.where(offsets < 0, -1.0, 1.0) * (offsets.abs() + 0.2)
    class_loss, box_loss = fastrcnn_loss(logits, given.flatten(1), labels, regression)
    nothing = torch.zeros(len(boxes), dtype=torch.int64)
    blank_loss, blank_box_loss = fastrcnn_loss(logits, given.flatten(1), [nothing], regression)
    deltas = normal(14, len(boxes), CLASSES, 4)
    found = heads.postprocess_detections(logits, deltas.flatten(1), [boxes], [(HEIGHT, WIDTH)])
    return {
        "candidates": candidates,
        "boxes": boxes,
        "labels": labels[0],
        "targets": regression[0],
        "logits": logits,
        "given": given,
        "class_loss": class_loss,
        "box_loss": box_loss,
        "class_loss_blank": blank_loss,
        "box_loss_blank": blank_box_loss,
        "deltas": deltas,
        **{f"found_{name}": each[0] for name, each in zip(("boxes", "scores", "labels"), found, strict=True)},
    }


def pyramid():
    """FeaturePyramidNetwork on maps whose sides are odd in part, with seeded weights."""
    network = FeaturePyramidNetwork([3, 4, 5], 6, LastLevelMaxPool())
    with torch.no_grad():
        for seed, (_, value) in enumerate(network.named_parameters()):
            value.copy_(normal(20 + seed, *value.shape, scale=0.3))
    shapes = ((3, 11, 14), (4, 6, 7), (5, 3, 4))
    maps = {f"level{i}": normal(30 + i, 2, *shape) for i, shape in enumerate(shapes, 2)}
    found = network(maps)
    return {
        **maps,
        **{f"weights.{name}": value for name, value in network.named_parameters()},
        **{f"output.{name}": value for name, value in found.items()},
    }


def coded():
    found = {"boxes": random_boxes(5, 50), "anchors": random_boxes(6, 50), "deltas": normal(7, 50, 4, scale=4.0)}
    for name, coder in (("", region_proposal_network().box_coder), ("_weighted", roi_heads().box_coder)):
        found[f"encoded{name}"] = coder.encode_single(found["boxes"], found["anchors"])
        found[f"decoded{name}"] = coder.decode_single(found["deltas"], found["anchors"])
    return found


def main():
    groups = {
        "roi_align": roi_aligned(),
        "pooler": pooled(),
        "nms": suppressed(),
        "coder": coded(),
        "rpn": proposals(),
        "roi": rois(),
        "fpn": pyramid(),
    }
    arrays = {"version": np.array(torchvision.__version__)}
    for group, values in groups.items():
        for name, value in values.items():
            array = value.detach().numpy()
            arrays[f"{group}/{name}"] = array.astype(np.int32) if array.dtype == np.int64 else array
    path = pathlib.Path(__file__).with_name("torchvision.npz")
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays)} arrays of torchvision {torchvision.__version__}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
