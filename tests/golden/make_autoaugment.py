"""Writes autoaugment.json and trivial_augment.npz with torchvision: python tests/golden/make_autoaugment.py.

The first has AutoAugment's sub-policies, with level 0 for none. The second has a seeded image (32, 32, 3) uint8, and
the same after each operation of TrivialAugmentWide in PIL, {"ShearX 1.0 -1": image} for strength 1 and sign -1.
"""

import json
import pathlib

import numpy as np
import seeded
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import AutoAugment, AutoAugmentPolicy, TrivialAugmentWide, _apply_op

HERE = pathlib.Path(__file__).parent
SIDE = 32

golden = {
    policy.value: [[(name, chance, level or 0) for name, chance, level in row] for row in AutoAugment(policy).policies]
    for policy in (AutoAugmentPolicy.IMAGENET, AutoAugmentPolicy.CIFAR10)
}
(HERE / "autoaugment.json").write_text(json.dumps(golden) + "\n")

image = np.array(Image.fromarray(seeded.images("square")[0]).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
results = {"image": image}
for name, (magnitudes, signed) in TrivialAugmentWide()._augmentation_space(31).items():
    for number in (10, 30) if magnitudes.ndim else (0,):
        for sign in (1, -1) if signed else (1,):
            magnitude = sign * float(magnitudes[number]) if magnitudes.ndim else 0.0
            changed = _apply_op(Image.fromarray(image), name, magnitude, InterpolationMode.BILINEAR, None)
            results[f"{name} {number / 30} {sign}"] = np.array(changed)
np.savez_compressed(HERE / "trivial_augment.npz", **results)
