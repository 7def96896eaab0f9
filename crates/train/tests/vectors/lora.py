"""Writes lora.json: PyTorch's gradients of adapters, one example at a time. `pip install torch`, then run this file.

Attention, then a linear layer on all positions, with a product of rank 2 beside each of the three matrices; numbers of every parameter come
from a formula that the test knows too.
"""

import json
import math
import pathlib

import torch
from torch.func import functional_call

TOKENS, WIDTH, RANK, ALPHA, CLASSES = 3, 4, 2, 3.0, 3
NAMES = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]


def numbers(place, *shape):
    count = math.prod(shape)
    flat = [0.4 * math.sin(1 + 0.9 * k + 2 * place) for k in range(count)]
    return torch.tensor(flat, dtype=torch.float64).reshape(shape)


attention = torch.nn.MultiheadAttention(WIDTH, 2, batch_first=True, dtype=torch.float64)
shapes = [(3 * WIDTH, WIDTH), (3 * WIDTH,), (WIDTH, WIDTH), (WIDTH,), (CLASSES, TOKENS * WIDTH), (CLASSES,)]
base = [numbers(i, *shape) for i, shape in enumerate(shapes)]
factors = []
for i, at in enumerate([0, 2, 4]):
    p, d = shapes[at]
    factors += [numbers(10 + 2 * i, RANK, d).requires_grad_(), numbers(11 + 2 * i, p, RANK).requires_grad_()]
inputs, labels = numbers(20, 3, TOKENS, WIDTH) * 4, [0, 2, 1]

rows, losses = [], []
for x, label in zip(inputs, labels):
    matrices = list(base)
    for i, at in enumerate([0, 2, 4]):
        matrices[at] = base[at] + ALPHA / RANK * factors[2 * i + 1] @ factors[2 * i]
    x = x[None]
    h, _ = functional_call(attention, dict(zip(NAMES, matrices)), (x, x, x), {"need_weights": False})
    logits = h.reshape(1, -1) @ matrices[4].T + matrices[5]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([label]))
    losses.append(round(loss.item(), 9))
    rows.append([[round(g, 9) for g in grad.flatten().tolist()] for grad in torch.autograd.grad(loss, factors)])

path = pathlib.Path(__file__).with_name("lora.json")
text = json.dumps({"torch": torch.__version__.split("+")[0], "losses": losses, "rows": rows}, separators=(",", ":"))
path.write_text(text.replace("],[[", "],\n[[") + "\n")
