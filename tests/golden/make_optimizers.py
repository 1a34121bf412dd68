"""Computes optimizers_torch.json with Torch: python tests/golden/make_optimizers.py (Torch 2.9 or later, CPU).

Two dense layers with tanh between them fit seeded targets in float64; see `problem` in
tests/training/test_optimizer_references.py, which has the same. Torch makes momenta orthogonal in bfloat16; here in
float64, so that an error of the formula is not hidden by rounding.
"""

import json
import pathlib

import numpy as np
import torch

STEPS = 12


def problem():
    """Inputs (16, 6), targets (16, 3), kernel (6, 5), bias (5,), kernel (5, 3), bias (3,)."""
    random = np.random.default_rng([2015, 12])
    shapes = ((16, 6), (16, 3), (6, 5), (5,), (5, 3), (3,))
    return [torch.tensor(random.standard_normal(shape)) for shape in shapes]


def trajectory(make):
    """Returns the loss of each step, and the variables after the last."""
    x, y, *variables = problem()
    for variable in variables:
        variable.requires_grad_()
    first, shift, second, offset = variables
    optimizers = make([first, second], [shift, offset])
    losses = []
    for _ in range(STEPS):
        loss = ((torch.tanh(x @ first + shift) @ second + offset - y) ** 2).mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "variables": [variable.detach().numpy().tolist() for variable in variables]}


def adamw(kernels, others):
    groups = [{"params": kernels, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr=0.02, betas=(0.8, 0.95), eps=1e-12)]


def muon(kernels, others):
    matrices = torch.optim.Muon(kernels, lr=0.05, momentum=0.9, weight_decay=0.3, adjust_lr_fn="match_rms_adamw")
    return [matrices, torch.optim.AdamW(others, lr=0.05, betas=(0.8, 0.95), eps=1e-12, weight_decay=0.0)]


torch.Tensor.bfloat16 = lambda self: self.clone()
golden = {"torch": torch.__version__, "adamw": trajectory(adamw), "muon": trajectory(muon)}
target = pathlib.Path(__file__).with_name("optimizers_torch.json")
target.write_text(json.dumps(golden, indent=1) + "\n")
