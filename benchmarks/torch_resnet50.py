"""Training step of ResNet-50 in Torch, for `training_step.py`, which starts it; needs Torch, nothing of this package.

    echo 3 | python benchmarks/torch_resnet50.py BATCH float32|mixed_bfloat16 eager|compiled

Channels last, as many threads as this process has cores. For every line on the input, a number of steps, it prints the
seconds of one step; the first line that it prints says that it is ready.
"""

import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """He et al. 2015, figure 5, with the stride in the first convolution and option B."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.norm3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.shortcut = nn.Identity()
        if inputs != 4 * width:
            projection = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = F.relu(self.norm2(self.conv2(y)), inplace=True)
        return F.relu(self.norm3(self.conv3(y)) + self.shortcut(x), inplace=True)


def resnet50():
    """images (N, 3, H, W) -> logits (N, 1000)."""
    parts = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            parts.append(Bottleneck(inputs, 64 << stage, 2 if stage and not block else 1))
            inputs = 256 << stage
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


def make_step(batch, precision, kind):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = resnet50().to(device, memory_format=torch.channels_last).train()
    model = torch.compile(network) if kind == "compiled" else network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)
    images = torch.rand((batch, 3, 224, 224), device=device).to(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device)

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=precision == "mixed_bfloat16"):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def main(batch, precision, kind):
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    step = make_step(int(batch), precision, kind)
    for _ in range(2):
        step().item()
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            loss = step()
        loss.item()
        print((time.perf_counter() - began) / int(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
