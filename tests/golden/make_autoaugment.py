"""Writes autoaugment.json with torchvision: python tests/golden/make_autoaugment.py. Level 0 stands for none."""

import json
import pathlib

from torchvision.transforms.autoaugment import AutoAugment, AutoAugmentPolicy

golden = {
    policy.value: [[(name, chance, level or 0) for name, chance, level in row] for row in AutoAugment(policy).policies]
    for policy in (AutoAugmentPolicy.IMAGENET, AutoAugmentPolicy.CIFAR10)
}
pathlib.Path(__file__).with_name("autoaugment.json").write_text(json.dumps(golden) + "\n")
