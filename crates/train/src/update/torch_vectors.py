"""Writes torch_vectors.rs: what torch.optim makes of a small quadratic. `pip install torch`, then run this file."""

import pathlib

import torch

CASES = [
    ('update = "sgd"\\nlearning_rate = 0.1', 5, lambda p: torch.optim.SGD(p, lr=0.1)),
    ('update = "sgd"\\nlearning_rate = 0.1\\nmomentum = 0.9\\nweight_decay = 0.05', 7,
     lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05)),
    ('update = "sgd"\\nlearning_rate = 0.1\\nmomentum = 0.9\\nnesterov = true', 7,
     lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
    ('update = "adam"\\nlearning_rate = 0.05', 9, lambda p: torch.optim.Adam(p, lr=0.05)),
    ('update = "adam"\\nlearning_rate = 0.05\\nbeta1 = 0.8\\nbeta2 = 0.9\\neps = 0.001\\nweight_decay = 0.1', 9,
     lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.9), eps=0.001, weight_decay=0.1)),
    ('update = "adamw"\\nlearning_rate = 0.05\\nweight_decay = 0.1', 9,
     lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1)),
]

lines = [
    f"// Made by torch_vectors.py with torch {torch.__version__.split('+')[0]}, in f64.",
    "const TORCH: &[(&str, usize, [f64; 3])] = &[",
]
for config, steps, make in CASES:
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    c = torch.tensor([1.0, 0.5, 4.0], dtype=torch.float64)
    optimizer = make([w])
    for _ in range(steps):
        optimizer.zero_grad()
        (c * w * w / 2).sum().backward()
        optimizer.step()
    numbers = ", ".join(f"{x:.12}" for x in w.tolist())
    lines.append('    ("' + config.replace('"', '\\"') + f'", {steps}, [{numbers}]),')
lines.append("];")
pathlib.Path(__file__).with_suffix(".rs").write_text("\n".join(lines) + "\n")
